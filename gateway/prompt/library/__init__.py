"""All templates together: versions, pointers, pools of examples."""
