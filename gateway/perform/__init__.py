"""Has a template's technique done that one plain call cannot do: several answers, checks, another round."""
