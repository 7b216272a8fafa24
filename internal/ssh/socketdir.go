package ssh

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// socketDir is a folder for us alone with the socket of a tunnel. It is locked
// for as long as its process lives: who can lock it knows that it was left.
type socketDir struct {
	path string
	lock *os.File
}

const (
	socketName   = "nix"
	socketPrefix = "fleet-nix-"
)

// socketDir makes a folder below tmp, in which a socket's path is short enough
// for the kernel, and removes those that killed processes left there.
func (d *Dialer) socketDir(tmp string) (*socketDir, error) {
	const pathMax = 104 // on macOS, with the final NUL; Linux has 108
	if !filepath.IsAbs(tmp) || len(tmp)+len("/"+socketPrefix+"4294967295/"+socketName) >= pathMax {
		tmp = "/tmp"
	}
	d.swept.Do(func() { removeLeftSockets(tmp) })

	// It gets its name when it is locked, so that nobody takes it for a left one.
	hidden, err := os.MkdirTemp(tmp, "."+socketPrefix) // 0700
	if err != nil {
		return nil, err
	}
	dir := &socketDir{path: hidden}
	if dir.lock, err = lockDir(hidden); err == nil {
		dir.path = filepath.Join(tmp, strings.TrimPrefix(filepath.Base(hidden), "."))
		err = os.Rename(hidden, dir.path)
	}
	if err != nil {
		_ = os.Remove(hidden)
		return nil, err
	}
	return dir, nil
}

func (d *socketDir) socket() string { return filepath.Join(d.path, socketName) }

func (d *socketDir) remove() error { return errors.Join(os.Remove(d.path), d.lock.Close()) }

func lockDir(path string) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		dir.Close()
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return dir, nil
}

// removeLeftSockets removes our folders whose processes are gone: those of a
// process that was killed, or left at the second Ctrl-C. Whatever hinders it
// does no harm.
func removeLeftSockets(tmp string) {
	entries, _ := os.ReadDir(tmp)
	for _, entry := range entries {
		path := filepath.Join(tmp, entry.Name())
		info, err := entry.Info()
		if err != nil || !strings.HasPrefix(entry.Name(), socketPrefix) || !info.IsDir() {
			continue
		}
		// Nobody else can put another folder in the place of ours.
		if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Getuid() {
			continue
		}
		lock, err := lockDir(path)
		if err != nil {
			continue // it is in use
		}
		socket := filepath.Join(path, socketName)
		if info, err := os.Lstat(socket); err == nil && info.Mode()&os.ModeSocket != 0 {
			_ = os.Remove(socket)
		}
		_ = os.Remove(path) // not if anything else is in it
		lock.Close()
	}
}
