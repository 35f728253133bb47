"""What a reader looks at: masks laid over images, figures, and widgets that need no running kernel."""
