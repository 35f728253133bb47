"""Pictures and widgets: what a reader looks at."""
