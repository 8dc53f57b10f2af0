"""The daemon behind `imagefs serve`: any number of images as folders of one mount, told by a file and a socket."""
