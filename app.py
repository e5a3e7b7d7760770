"""The page server: routes and start-up, nothing else. Started by ``landscape app``."""

from contextlib import asynccontextmanager
from importlib.resources import files

import streamlit as st
from starlette.middleware import Middleware
from starlette.responses import FileResponse
from starlette.routing import Route

from landscape import ROOT
from landscape.sharing import check, quotas, sharing
from landscape.ui import warm
from landscape.ui.gate import Gate

PLOTLY = str(files("plotly") / "package_data" / "plotly.min.js")


async def plotly(request):
    """plotly.js of the installed package, so that pages work offline; its address holds its version."""
    return FileResponse(
        PLOTLY, media_type="text/javascript", headers={"Cache-Control": "public, max-age=31536000, immutable"}
    )


@asynccontextmanager
async def lifespan(app):
    """Jobs that were waiting when the machine went down go on when the server comes back; pages are got ready."""
    import asyncio

    from landscape.errors import LandscapeError
    from landscape.runs import Jobs

    async def resume():
        try:
            await asyncio.to_thread(Jobs().resume)
        except LandscapeError as error:
            print(f"Waiting jobs were not started: {error}")

    task = asyncio.create_task(resume())
    await asyncio.to_thread(warm.up)
    yield {}
    task.cancel()


check()  # also for a server that was not started by ``landscape app``
app = st.App(ROOT / "landscape/ui/main.py", lifespan=lifespan, routes=[Route("/assets/plotly-{version}.min.js", plotly)],
             middleware=[Middleware(Gate, sharing=sharing(), quotas=quotas())])
