"""Exhibits: settings -> compute -> results. The only room that knows both computing and runs."""
