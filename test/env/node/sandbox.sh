# The first process of a test node, run by `unshare` as root in namespaces of its own: mounts, network, processes. All
# that it and what joins it there mount, link or start ends with it, and the machine around it is not changed.
#
#   sh sandbox.sh DIRECTORY ADDRESS...
#
# DIRECTORY is the node's, ADDRESSes the node's own. The lines of DIRECTORY/cgroups are the node's control groups, each
# with the place where it is to be mounted. DIRECTORY/ready is there when all is in place.
set -eu
directory=$1
shift

# What a kubelet and a container runtime write at fixed places goes to the node's own directory.
mount -t tmpfs -o mode=755 tmpfs /run
for name in lib log; do
  mkdir -p "$directory/var/$name/upper" "$directory/var/$name/work"
  mount -t overlay -o "lowerdir=/var/$name,upperdir=$directory/var/$name/upper,workdir=$directory/var/$name/work" \
    overlay "/var/$name"
done

while read -r group place; do mount --bind "$group" "$place"; done <"$directory/cgroups"

# A kubelet sets these for the whole machine unless they have the values it wants; here it reads that they have.
pretend() {
  mkdir -p "$directory/sysctl/${1%/*}"
  echo "$2" >"$directory/sysctl/$1"
  mount --bind "$directory/sysctl/$1" "/proc/sys/$1"
}
pretend vm/overcommit_memory 1
pretend vm/panic_on_oom 0
pretend kernel/panic 10
pretend kernel/panic_on_oops 1
pretend kernel/keys/root_maxkeys 1000000
pretend kernel/keys/root_maxbytes 25000000

ip link set lo up
for address in "$@"; do ip address add "$address/32" dev lo; done

: >"$directory/ready"
# Waiting for one child, a shell reaps all that it inherits, as a first process has to.
while :; do
  sleep 3600 &
  wait $!
done
