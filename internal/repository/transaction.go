package repository

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"
	"golang.org/x/sync/errgroup"
)

// A transaction switches a set of files at once:
//
//  1. the journal names every staged file and every new folder,  phase "staging"
//  2. each file is written beside its place, and all are synced,
//  3. the journal says that all are there,                       phase "switching"
//  4. each staged file is renamed to its place, each that is to go is removed,
//  5. git is told of new files and of those that are gone,
//  6. the journal is removed,
//  7. if that was wanted, the files are committed.
//
// A crash before 3 is undone by the next run, one after 3 is finished by it.
// Only when it hits 7 the values are there and not committed.
const (
	phaseStaging   = "staging"
	phaseSwitching = "switching"

	stageSuffix = ".fleet-new" // of the name of a staged file, which begins with a dot
)

// journal is what is on disk of a transaction. Paths are relative to the root of
// the repository, with slashes.
type journal struct {
	Phase   string   `json:"phase"`
	Files   []staged `json:"files"`
	Folders []string `json:"folders"` // made by the transaction, parents first
	Message string   `json:"message"` // of the commit, "" for none
}

type staged struct {
	Stage string `json:"stage,omitempty"`
	Final string `json:"final"`
	New   bool   `json:"new"`
	// Gone says that nothing is staged, and that the file is removed.
	Gone bool `json:"gone,omitempty"`
}

// Transaction holds the lock of a repository and changes its files, all at once.
type Transaction struct {
	// Recovered says what an interrupted run had left, "" if that is nothing.
	Recovered string

	release func()
	root    *os.Root
	journal string // path of the journal file
	// step is called before every single step, so that a test can stop there; it
	// is nil otherwise.
	step func(name string) error
	// track and commit are what git is to do.
	track, commit func(journal) error
}

func (t *Transaction) before(step string) error {
	if t.step == nil {
		return nil
	}
	return t.step(step)
}

// Apply brings files to their places, with a commit of exactly those if there is a
// message. If it fails before all are staged nothing has changed; if it fails later
// the journal stays and the next [Repository.Begin] finishes the work. placed tells whether all files are in place, which can be so
// beside an error about git.
func (t *Transaction) Apply(files []File, message string) (placed bool, err error) {
	if len(files) == 0 {
		return true, nil
	}
	j := journal{Phase: phaseStaging, Files: []staged{}, Folders: []string{}, Message: message}
	seen := map[string]bool{}
	for _, f := range files {
		if f.Gone {
			j.Files = append(j.Files, staged{Final: f.Path, Gone: true})
			continue
		}
		dir, base := path.Split(f.Path)
		_, err := t.root.Lstat(filepath.FromSlash(f.Path))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		j.Files = append(j.Files, staged{Stage: dir + "." + base + stageSuffix, Final: f.Path, New: err != nil})
		for _, folder := range parents(f.Path) {
			if seen[folder] {
				continue
			}
			seen[folder] = true
			if _, err := t.root.Lstat(filepath.FromSlash(folder)); errors.Is(err, fs.ErrNotExist) {
				j.Folders = append(j.Folders, folder)
			}
		}
	}
	if err := t.save(j); err != nil {
		return false, errors.Join(err, t.undo(j))
	}
	if err := t.stage(j, files); err != nil {
		return false, errors.Join(fmt.Errorf("nothing was changed: %w", err), t.undo(j))
	}
	j.Phase = phaseSwitching
	if err := t.save(j); err != nil {
		// It may be on disk nevertheless: it must not be found beside files
		// that are half taken back.
		return false, errors.Join(fmt.Errorf("nothing was changed: %w", err), t.end(), t.undo(j))
	}
	return t.finish(j)
}

func (t *Transaction) stage(j journal, files []File) error {
	for _, folder := range j.Folders {
		if err := t.before("mkdir " + folder); err != nil {
			return err
		}
		if err := t.root.Mkdir(filepath.FromSlash(folder), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	for i, f := range j.Files {
		if f.Gone {
			continue
		}
		if err := t.before("stage " + f.Final); err != nil {
			return err
		}
		if err := t.write(f.Stage, files[i]); err != nil {
			return err
		}
	}
	if err := t.syncFiles(files, j); err != nil {
		return err
	}
	return t.syncFolders(j)
}

// syncsAtOnce is how many files are synced at once: most file systems write
// what is asked for at one time with one commit of their journal.
const syncsAtOnce = 32

// syncFiles makes the content of staged files durable.
func (t *Transaction) syncFiles(files []File, j journal) error {
	var group errgroup.Group
	group.SetLimit(syncsAtOnce)
	for i, f := range j.Files {
		if !f.Gone && files[i].Link == "" {
			group.Go(func() error { return syncFile(t.root.Open(filepath.FromSlash(f.Stage))) })
		}
	}
	return group.Wait()
}

// finish switches what is not switched yet.
func (t *Transaction) finish(j journal) (placed bool, err error) {
	if err := t.switchAll(j); err != nil {
		return false, fmt.Errorf("the files are only partly in place, and the next command that changes any finishes this: %w", err)
	}
	// Files that git does not know of stay: the error tells what to do.
	if err := errors.Join(t.track(j), t.end()); err != nil || j.Message == "" {
		return true, err
	}
	if err := t.before("commit"); err != nil {
		return true, err
	}
	return true, t.commit(j)
}

func (t *Transaction) switchAll(j journal) error {
	for _, f := range j.Files {
		if err := t.before("switch " + f.Final); err != nil {
			return err
		}
		var err error
		if f.Gone {
			err = t.remove(f.Final)
		} else {
			err = t.root.Rename(filepath.FromSlash(f.Stage), filepath.FromSlash(f.Final))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // switched before the crash
			return err
		}
	}
	if err := t.syncFolders(j); err != nil {
		return err
	}
	return t.before("track")
}

// remove removes a file, and the folders above it that are empty then.
func (t *Transaction) remove(name string) error {
	if err := t.root.Remove(filepath.FromSlash(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, folder := range slices.Backward(parents(name)) {
		if t.root.Remove(filepath.FromSlash(folder)) != nil {
			break
		}
	}
	return nil
}

// undo takes back what was staged.
func (t *Transaction) undo(j journal) error {
	var errs []error
	for _, f := range j.Files {
		if f.Gone {
			continue
		}
		if err := t.root.Remove(filepath.FromSlash(f.Stage)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	for _, folder := range slices.Backward(j.Folders) {
		// One that somebody else has put something into stays.
		_ = t.root.Remove(filepath.FromSlash(folder))
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return t.end()
}

// recover completes what a crash has left, and tells what it did: "" if there
// was nothing to do.
func (t *Transaction) recover() (string, error) {
	j, err := t.load()
	if j == nil || err != nil {
		return "", err
	}
	if j.Phase == phaseSwitching {
		if placed, err := t.finish(*j); err != nil {
			if placed {
				return "", err
			}
			return "", fmt.Errorf("an interrupted run could not be finished: %w", err)
		}
		return fmt.Sprintf("finished an interrupted run: %d files are in place", len(j.Files)), nil
	}
	if err := t.undo(*j); err != nil {
		return "", fmt.Errorf("an interrupted run could not be undone: %w", err)
	}
	return "undid an interrupted run that had changed nothing yet", nil
}

// load reads the journal; nil if there is none.
func (t *Transaction) load() (*journal, error) {
	data, err := os.ReadFile(t.journal)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var j journal
	if err := json.Unmarshal(data, &j); err != nil || j.Phase != phaseStaging && j.Phase != phaseSwitching {
		return nil, fmt.Errorf("the journal %s is damaged: look at `git status`, then remove it", t.journal)
	}
	return &j, nil
}

// save replaces the journal for good: the new one is on disk when it returns.
func (t *Transaction) save(j journal) error {
	if err := t.before("journal " + j.Phase); err != nil {
		return err
	}
	data, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(t.journal), 0o755); err != nil {
		return err
	}
	if err := renameio.WriteFile(t.journal, data, 0o644); err != nil {
		return err
	}
	return syncFile(os.Open(filepath.Dir(t.journal)))
}

func (t *Transaction) end() error {
	if err := t.before("end"); err != nil {
		return err
	}
	if err := os.Remove(t.journal); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(t.journal)
	if err := syncFile(os.Open(dir)); err != nil {
		return err
	}
	_ = os.Remove(dir) // stays if there is something else in it
	return nil
}

// write stages a file or a link. What is replaced keeps its mode.
func (t *Transaction) write(name string, file File) error {
	name = filepath.FromSlash(name)
	if err := t.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if file.Link != "" {
		return t.root.Symlink(file.Link, name)
	}
	mode := fs.FileMode(0o644)
	if info, err := t.root.Lstat(filepath.FromSlash(file.Path)); err == nil && info.Mode().IsRegular() {
		mode = info.Mode().Perm()
	}
	f, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(file.Data)
	return errors.Join(err, f.Chmod(mode), f.Close())
}

// syncFolders makes the names in all folders of the transaction durable.
func (t *Transaction) syncFolders(j journal) error {
	var group errgroup.Group
	group.SetLimit(syncsAtOnce)
	done := map[string]bool{}
	for _, f := range j.Files {
		for _, folder := range append(parents(f.Final), ".") {
			if done[folder] {
				continue
			}
			done[folder] = true
			group.Go(func() error {
				err := syncFile(t.root.Open(filepath.FromSlash(folder)))
				if f.Gone && errors.Is(err, fs.ErrNotExist) { // it went with its last file
					return nil
				}
				return err
			})
		}
	}
	return group.Wait()
}

// syncFile makes a file durable, or the names in a folder.
func syncFile(f *os.File, err error) error {
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// parents lists the folders above a path, outermost first.
func parents(p string) (folders []string) {
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		folders = append(folders, dir)
	}
	slices.Reverse(folders)
	return folders
}
