"""What a desktop needs to know of imagefs: types, actions, an icon, where mounts appear; and putting it in its place."""
