"""What a worker that computes with torch imports; jobs save what they go on from every tenth of a second, not of two."""

from landscape.recipes import planes, state

state.SAVE_STATE = state.SAVE_HISTORY = 0.1
planes.SAVE_PICTURE = 0.1
