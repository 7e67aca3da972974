"""Transforms a long text piece by piece: cuts it, plans the calls, and joins the results."""
