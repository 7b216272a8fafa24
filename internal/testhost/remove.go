package testhost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	netnsDir  = "/run/netns"
	cgroupDir = "/sys/fs/cgroup"
	nspawnDir = "/run/systemd/nspawn"
)

// removeHosts takes down every host whose namespace matches the pattern: kills
// its processes, unmounts what is mounted below folder, and removes namespaces,
// cgroups and the folder.
func removeHosts(match, folder string) error {
	namespaces, err := filepath.Glob(filepath.Join(netnsDir, match))
	if err != nil {
		return err
	}
	var errs []error
	for _, ns := range namespaces {
		errs = append(errs, killAll(ns, func(int) bool { return true }))
	}
	if folder != "" {
		errs = append(errs, unmountBelow(folder))
	}
	for _, ns := range namespaces {
		errs = append(errs, command("", "ip", "netns", "del", filepath.Base(ns)))
	}
	for _, pattern := range []string{"", "*"} { // unified only, or one hierarchy per controller
		groups, _ := filepath.Glob(filepath.Join(cgroupDir, pattern, match))
		for _, g := range groups {
			errs = append(errs, removeCgroup(g))
		}
	}
	leftovers, _ := filepath.Glob(filepath.Join(nspawnDir, "*", match))
	for _, l := range leftovers {
		errs = append(errs, unmountBelow(l), os.RemoveAll(l))
	}
	if err := errors.Join(errs...); err != nil || folder == "" {
		return err // nothing is deleted below a mount that would not go
	}
	return os.RemoveAll(folder)
}

// processes are the ids of all processes in the network namespace at path.
func processes(path string) ([]int, error) {
	var want unix.Stat_t
	if err := unix.Stat(path, &want); err != nil {
		return nil, fmt.Errorf("looking at the namespace %s: %w", path, err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		var got unix.Stat_t
		if unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &got) == nil && got.Ino == want.Ino && got.Dev == want.Dev {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// killAll kills the processes in the network namespace at path that are wanted
// dead, until none is left.
func killAll(path string, wanted func(pid int) bool) error {
	for deadline := time.Now().Add(killTimeout); ; time.Sleep(5 * time.Millisecond) {
		pids, err := processes(path)
		if err != nil {
			return err
		}
		pids = slices.DeleteFunc(pids, func(pid int) bool { return !wanted(pid) })
		if len(pids) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v of %s do not die", pids, filepath.Base(path))
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL) // it may be gone already
		}
	}
}

// unmountBelow unmounts all mounts at and below folder, the innermost first.
func unmountBelow(folder string) error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("reading the table of mounts: %w", err)
	}
	var points []string
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); f[4] == folder || strings.HasPrefix(f[4], folder+"/") {
			points = append(points, f[4])
		}
	}
	slices.Reverse(points)
	var errs []error
	for _, p := range points {
		if err := unmount(p); err != nil {
			errs = append(errs, fmt.Errorf("unmounting %s: %w", p, err))
		}
	}
	return errors.Join(errs...)
}

// unmount gives a dying namespace a moment to let go of the mount, then detaches it.
func unmount(path string) error {
	for range 100 {
		if err := unix.Unmount(path, unix.UMOUNT_NOFOLLOW); !errors.Is(err, unix.EBUSY) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
}

// removeCgroup removes a tree of cgroups; the dead may stay in one for a while.
func removeCgroup(path string) error {
	var dirs []string
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, p)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Reverse(dirs)
	for deadline := time.Now().Add(killTimeout); len(dirs) > 0; {
		switch err := unix.Rmdir(dirs[0]); {
		case err == nil, errors.Is(err, unix.ENOENT):
			dirs = dirs[1:]
		case time.Now().After(deadline):
			return fmt.Errorf("removing the cgroup %s: %w", dirs[0], err)
		default:
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}
