"""What people see of a run: how it ended, tables, pages, the picture of its time, and its log."""
