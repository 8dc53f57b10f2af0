"""The outside world: what shows a FileSystem to the kernel."""
