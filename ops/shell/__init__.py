"""What the tasks of `fab` and `inv` share: the way in and out of a task, and the first look at the settings' file."""
