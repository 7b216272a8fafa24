package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// rootTarget is a folder that stands for a machine's root. Its store is the
// folder's own, and its programs run inside it through bubblewrap. Files are
// reached through [os.Root], so that no link in the folder leads out of it.
type rootTarget struct {
	path string
	// bwrap runs the activation; the program's name unless a test says otherwise.
	bwrap string
	root  *os.Root
	// activation is the one that this process began.
	activation *ownActivation
	// claim is the lock on the folder while there are claims of it.
	claim  *os.File
	claims int
}

func newRootTarget(folder string) *rootTarget {
	return &rootTarget{path: folder, bwrap: "bwrap"}
}

func (t *rootTarget) String() string { return "root:" + t.path }

// Connect opens the folder. One that does not exist is a machine that was never
// deployed; the first change makes it.
func (t *rootTarget) Connect(context.Context) error {
	if t.root != nil {
		return nil
	}
	root, err := os.OpenRoot(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the folder %s that stands for the machine: %w", t.path, err)
	}
	t.root = root
	return nil
}

// create makes the folder where Connect found none.
func (t *rootTarget) create(ctx context.Context) error {
	if t.root != nil {
		return nil
	}
	if err := os.MkdirAll(t.path, 0o755); err != nil {
		return fmt.Errorf("create the folder that stands for the machine: %w", err)
	}
	return t.Connect(ctx)
}

// DialContext has nowhere to connect from.
func (t *rootTarget) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, fmt.Errorf("%s is a folder, in which nothing runs", t)
}

// Reconnect has nothing to connect to.
func (t *rootTarget) Reconnect(context.Context) error { return nil }

func (t *rootTarget) Inspect(_ context.Context, keyFile, _ string) (Facts, error) {
	disk, err := diskOf(t.path)
	if err != nil {
		return Facts{}, err
	}
	facts := Facts{Store: disk}
	if t.root == nil {
		return facts, nil
	}
	facts.System, _ = t.root.Readlink(rel(currentSystem))
	facts.Booted, _ = t.root.Readlink(rel(bootedSystem))
	if link, err := t.root.Readlink(rel(profile)); err == nil {
		facts.Generation = generationNumber(link)
		generation := rel(path.Join(profilesDir, path.Base(link)))
		facts.Profile, _ = t.root.Readlink(generation)
		if info, err := t.root.Lstat(generation); err == nil {
			facts.Created = info.ModTime().UTC()
		}
	}
	if out, err := t.root.ReadFile(rel(rootMarker)); err == nil {
		facts.Activating = strings.TrimSpace(string(out))
	}
	facts.claim = t.claimed()
	_, err = t.root.Lstat("nix/var/nix/db")
	facts.HasStore = err == nil
	facts.Key, err = t.keyFile(keyFile)
	return facts, err
}

func (t *rootTarget) keyFile(name string) (KeyFile, error) {
	if name == "" {
		return KeyFile{}, nil
	}
	info, err := t.root.Lstat(rel(name))
	if errors.Is(err, fs.ErrNotExist) {
		return KeyFile{}, nil
	}
	if err != nil {
		return KeyFile{}, fmt.Errorf("look for the machine's key below %s: %w", t.path, err)
	}
	data, err := t.root.ReadFile(rel(name))
	if err != nil {
		return KeyFile{}, fmt.Errorf("read the machine's key below %s: %w", t.path, err)
	}
	return KeyFile{Digest: digest(data), Mode: info.Mode()}, nil
}

func (t *rootTarget) Store(ctx context.Context) (string, error) {
	if err := t.create(ctx); err != nil {
		return "", err
	}
	return "local?root=" + t.path, nil
}

// Traffic cannot be told: Nix writes into the folder itself.
func (t *rootTarget) Traffic() int64 { return time.Now().UnixNano() }

func (t *rootTarget) WriteFile(ctx context.Context, name string, data []byte) error {
	if err := t.create(ctx); err != nil {
		return err
	}
	dir := path.Dir(rel(name))
	if err := t.root.MkdirAll(path.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("make the folders above %s in %s: %w", name, t.path, err)
	}
	if err := t.root.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the folder of %s in %s: %w", name, t.path, err)
	}
	if err := t.root.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("close the folder of %s in %s to others: %w", name, t.path, err)
	}
	if err := t.replace(path.Join(dir, "."+path.Base(name)+".new"), rel(name), data); err != nil {
		return fmt.Errorf("write %s in %s: %w", name, t.path, err)
	}
	return nil
}

// replace writes a file under a temporary name and moves it into place, with
// everything on the disk before the name changes.
func (t *rootTarget) replace(temporary, name string, data []byte) error {
	if err := t.root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := t.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = t.root.Rename(temporary, name)
	}
	if err != nil {
		return errors.Join(err, t.root.Remove(temporary))
	}
	return nil
}

func (t *rootTarget) Close() error {
	if t.root == nil {
		return nil
	}
	err := t.root.Close()
	t.root = nil
	return err
}

// rel turns a path of the machine into one below its root.
func rel(name string) string { return strings.TrimPrefix(path.Clean(name), "/") }

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// diskOf tells about the file system that holds a folder, which need not exist
// yet.
func diskOf(folder string) (Disk, error) {
	var at unix.Stat_t
	err := unix.Stat(folder, &at)
	for errors.Is(err, unix.ENOENT) && folder != "/" {
		folder = filepath.Dir(folder)
		err = unix.Stat(folder, &at)
	}
	var stat unix.Statfs_t
	if err == nil {
		err = unix.Statfs(folder, &stat)
	}
	if err != nil {
		return Disk{}, fmt.Errorf("look at the file system of %s: %w", folder, err)
	}
	block := int64(stat.Bsize)
	return Disk{Mount: mountOf(folder, uint64(at.Dev)), Free: int64(stat.Bavail) * block, Total: int64(stat.Blocks) * block}, nil
}

// mountOf is the highest folder above that is on the same device.
func mountOf(folder string, device uint64) string {
	for folder != "/" {
		var above unix.Stat_t
		if unix.Stat(filepath.Dir(folder), &above) != nil || uint64(above.Dev) != device {
			break
		}
		folder = filepath.Dir(folder)
	}
	return folder
}
