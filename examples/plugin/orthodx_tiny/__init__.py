"""An example plug-in of orthodx."""
