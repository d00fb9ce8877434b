"""Who moves whom: a graph network trained once per workspace, and its frozen arrays evaluated live."""
