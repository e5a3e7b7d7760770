"""Navigation: the script that runs on every visit, before the page it leads to."""

import streamlit as st

from landscape import ASSETS, ROOT
from landscape.ui import looking, people

PAGES = ROOT / "pages"

st.set_page_config(page_title="Loss Valleys", page_icon=str(ASSETS / "theme/icon.svg"), layout="wide",
                   initial_sidebar_state="collapsed")
st.logo(str(ASSETS / "theme/logo.svg"), size="large", icon_image=str(ASSETS / "theme/icon.svg"))
people.door()
page = st.navigation([
    st.Page(PAGES / "overview.py", title="Overview", icon=":material/landscape:", default=True),
    st.Page(PAGES / "valleys.py", title="Valleys", icon=":material/conversion_path:", url_path="valleys"),
    st.Page(PAGES / "averaging.py", title="Averaging", icon=":material/scatter_plot:", url_path="averaging"),
    st.Page(PAGES / "posterior.py", title="Posterior", icon=":material/bubble_chart:", url_path="posterior"),
    st.Page(PAGES / "calibration.py", title="Calibration", icon=":material/target:", url_path="calibration"),
    st.Page(PAGES / "checkpoints.py", title="Checkpoints", icon=":material/folder_open:", url_path="checkpoints"),
    st.Page(PAGES / "runs.py", title="Runs", icon=":material/inventory_2:", url_path="runs"),
], position="top")
st.html(ROOT / "landscape/ui/app.css")
looking.notice()
page.run()
