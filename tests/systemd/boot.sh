# boot.sh DIR [PLACE FOLDER]...: become the first process of a machine of its own. Started in fresh namespaces by box.py.
#
# DIR holds `files` (what the machine has besides the host's files), `notify` (a socket: systemd says there that it is up),
# `console` and `kmsg` (plain files). The root is an overlay: it shows the host's files, and every change goes to memory.
# Each FOLDER is shown at its PLACE as it is: what lies under an overlay must not change meanwhile.
set -eu
dir=$1
shift

mount -t tmpfs -o mode=755 box "$dir/memory"
mkdir "$dir/memory/upper" "$dir/memory/work" "$dir/memory/root"
root=$dir/memory/root
mount -t overlay -o "lowerdir=/,upperdir=$dir/memory/upper,workdir=$dir/memory/work" box "$root"

# Of the host's own units only what a bare machine needs: nothing that wants hardware, a network or a terminal.
rm -rf "$root/etc/systemd/system" "$root/etc/systemd/system-generators" "$root"/usr/lib/systemd/system/*.target.wants
find "$root/usr/lib/systemd/system-generators" -type f ! -name systemd-fstab-generator -delete
cp -a "$dir/files/." "$root/"
# The kernel is the host's: it has one audit log for all, and gets no modules from here.
for unit in systemd-journald-audit.socket modprobe@.service; do ln -s /dev/null "$root/etc/systemd/system/$unit"; done

for kind in run tmp dev; do mount -t tmpfs -o nosuid,mode=755 "$kind" "$root/$kind"; done
chmod 1777 "$root/tmp"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys" # the kernel's settings are the host's
mount -t sysfs -o nosuid,nodev,noexec sysfs "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"

cd /dev
cp -a null zero full random urandom tty fuse autofs "$root/dev/"
chmod 666 "$root/dev/fuse" # as udev has it
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o nosuid,nodev,mode=1777 shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for number in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${number%:*}" "$root/dev/${number#*:}"; done
mkdir -p "$root/run/host"
touch "$root/dev/console" "$root/dev/kmsg" "$root/run/host/notify"
mount --bind "$dir/console" "$root/dev/console"
mount --bind "$dir/kmsg" "$root/dev/kmsg"
mount --bind "$dir/notify" "$root/run/host/notify"
while [ $# -gt 0 ]; do
  mkdir -p "$root$1"
  mount --bind "$2" "$root$1"
  shift 2
done

# pivot_root and not chroot: in a chroot the kernel refuses user namespaces.
cd "$root"
pivot_root . .
umount -l .
cd /
hostname box
exec env -i PATH=/usr/sbin:/usr/bin LANG=C.UTF-8 container=box NOTIFY_SOCKET=/run/host/notify \
  /lib/systemd/systemd --system --unit=multi-user.target --log-target=journal --show-status=no \
  </dev/null >>/dev/console 2>&1
