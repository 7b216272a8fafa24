package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// workspace is the folder with $in, $out and $prompts.
type workspace struct {
	dir  string
	lock *os.File // held while in use, so that a leftover can be told from it
}

const workspacePrefix = "fleet-vars-"

func newWorkspace(memory string, j Job, uid int) (_ *workspace, err error) {
	dir, err := os.MkdirTemp(memory, workspacePrefix)
	if err != nil {
		return nil, err
	}
	w := &workspace{dir: dir}
	defer func() {
		if err != nil {
			_ = w.remove()
		}
	}()
	if w.lock, err = os.Open(dir); err != nil {
		return nil, err
	}
	if err := flockExclusive(w.lock); err != nil {
		return nil, err
	}
	if err := w.fill(j); err != nil {
		return nil, err
	}
	return w, w.give(uid)
}

func (w *workspace) fill(j Job) error {
	root, err := os.OpenRoot(w.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, sub := range []string{"in", "out", "prompts"} {
		if err := root.Mkdir(sub, 0o700); err != nil {
			return err
		}
	}
	for dep, files := range j.Inputs {
		if err := root.Mkdir("in/"+dep, 0o700); err != nil {
			return err
		}
		for file, value := range files {
			if err := root.WriteFile("in/"+dep+"/"+file, value, 0o600); err != nil {
				return err
			}
		}
	}
	for name, value := range j.Prompts {
		if err := root.WriteFile("prompts/"+name, value, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// give makes everything the script's own.
func (w *workspace) give(uid int) error {
	if uid == os.Geteuid() {
		return nil
	}
	return filepath.WalkDir(w.dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, uid, uid))
	})
}

func (w *workspace) path(sub string) string { return filepath.Join(w.dir, sub) }

// remove removes the folder, also where the script has locked folders in it.
func (w *workspace) remove() error {
	err := os.RemoveAll(w.dir)
	if err != nil {
		_ = filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, _ error) error {
			if d != nil && d.IsDir() {
				return os.Chmod(path, 0o700)
			}
			return nil
		})
		err = os.RemoveAll(w.dir)
	}
	if w.lock != nil {
		_ = w.lock.Close()
	}
	return err
}

// outputs reads what a script has written. It is as hostile as the script:
// only regular files are opened, nothing is followed, all is bounded.
func (w *workspace) outputs(fileBytes int64) (map[string][]byte, error) {
	const most = 256
	root, err := os.OpenRoot(w.path("out"))
	if err != nil {
		return nil, fmt.Errorf("$out cannot be read: %w", err)
	}
	defer root.Close()
	dir, err := root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("$out cannot be read: %w", err)
	}
	defer dir.Close()
	entries, err := dir.ReadDir(most + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("$out cannot be read: %w", err)
	}
	if len(entries) > most {
		return nil, fmt.Errorf("the script left more than %d files in $out", most)
	}
	outputs := map[string][]byte{}
	var refused error
	for _, entry := range entries {
		value, err := readRegular(root, entry.Name(), fileBytes)
		if err != nil {
			refused = errors.Join(refused, err)
			continue
		}
		outputs[entry.Name()] = value
	}
	return outputs, refused
}

func readRegular(root *os.Root, name string, limit int64) ([]byte, error) {
	if strings.ContainsFunc(name, unicode.IsControl) {
		return nil, fmt.Errorf("the script left a file with the name %q in $out", name)
	}
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("the script left %q in $out, which is not a regular file", name)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%q in $out cannot be read: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("the script left %q in $out, which is not a regular file", name)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("the script wrote %q, which is larger than %d bytes", name, limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// flockExclusive takes a lock that ends with the process, or fails at once.
func flockExclusive(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
