"""Plotly figures of results: no torch, no Streamlit, nothing drawn that was not measured or said to be interpolated."""
