package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/secrets"
)

// Upload is what was put onto one machine, or would be.
type Upload struct {
	Machine string `json:"machine"`
	Target  string `json:"target"`
	// Files are the machine's age key and the secrets that it cannot decrypt
	// itself, because its activation needs them.
	Files []UploadedFile `json:"files"`
	// Note says why there is no key among the files.
	Note string `json:"note,omitempty"`
	// Err is why it was not done, or not for more files, and Next the command that
	// mends it, if there is one.
	Err   error  `json:"-"`
	Error string `json:"error,omitempty"`
	Next  string `json:"next,omitempty"`
}

// UploadedFile is one file of an [Upload].
type UploadedFile struct {
	Path   string    `json:"path"`
	Action KeyAction `json:"action"`

	content []byte
}

// Changed tells whether any file is not as it was.
func (u Upload) Changed() bool {
	return slices.ContainsFunc(u.Files, func(f UploadedFile) bool { return f.Action != KeyUnchanged })
}

// Upload puts its key, and the secrets that its activation needs in plain, onto
// every machine, all machines at once. Only what is another or open to others is
// replaced, each file atomically. With dryRun nothing is changed.
func (d *Deployer) Upload(ctx context.Context, machines []Machine, dryRun bool) []Upload {
	list := make([]Upload, len(machines))
	each(machines, func(i int, m Machine) {
		u := Upload{Machine: m.Name, Target: m.Address, Files: []UploadedFile{}}
		d.emit(m.Name, Reach, Started, "")
		phase, state := Secrets, Done
		files, err := d.uploads(ctx, m, &u)
		if err == nil && len(files) > 0 {
			err = d.during(ctx, Reach, func() error {
				t, err := d.connect(ctx, m)
				if err != nil {
					phase = Reach
					return err
				}
				u.Target = t.String()
				return d.upload(ctx, t, files, dryRun, &u)
			})
		}
		if err != nil {
			state = Failed
			u.fail(phase, err)
		}
		d.emit(m.Name, End, state, "")
		list[i] = u
	})
	slices.SortFunc(list, func(a, b Upload) int { return strings.Compare(a.Machine, b.Machine) })
	return list
}

// UploadInto puts into a folder what Upload puts into the machine's
// secretUploadDirectory: for an installer, say. Only its owner can enter the
// folder, which must not exist, be empty, or hold an earlier upload.
func (d *Deployer) UploadInto(ctx context.Context, m Machine, folder string, dryRun bool) Upload {
	u := Upload{Machine: m.Name, Target: folder, Files: []UploadedFile{}}
	files, err := d.uploads(ctx, m, &u)
	if err == nil {
		err = d.uploadInto(ctx, folder, m.Details.SecretUploadDirectory, files, dryRun, &u)
	}
	if err != nil {
		u.fail(Secrets, err)
	}
	return u
}

func (d *Deployer) uploadInto(ctx context.Context, folder, directory string, files []UploadedFile, dryRun bool, u *Upload) error {
	names := map[string]bool{}
	for i := range files { // the folder is the root, with nothing above it
		files[i].Path = strings.TrimPrefix(files[i].Path, path.Clean(directory))
		names[rel(files[i].Path)] = true
	}
	if err := checkUploadFolder(folder, names); err != nil || len(files) == 0 {
		return err
	}
	if !dryRun {
		// Before the first file, so that nobody enters the folders in it.
		if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := os.Chmod(folder, 0o700); err != nil {
			return err
		}
	}
	t := newRootTarget(folder)
	defer t.Close()
	if err := t.Connect(ctx); err != nil {
		return err
	}
	return d.upload(ctx, t, files, dryRun, u)
}

func (u *Upload) fail(phase Phase, err error) {
	u.Err, u.Error = err, err.Error()
	u.Next = Result{Machine: u.Machine, Target: u.Target, Phase: phase, Err: err}.nextCommand()
}

// checkUploadFolder refuses a folder with anything in it but files of these
// names.
func checkUploadFolder(folder string, names map[string]bool) error {
	info, err := os.Lstat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s exists and is no folder: name a new one", folder)
	}
	return filepath.WalkDir(folder, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, file)
		if err == nil && (!names[filepath.ToSlash(name)] || !entry.Type().IsRegular()) {
			err = fmt.Errorf("the folder %s holds %s, which no upload of this machine has made: name a new folder", folder, name)
		}
		return err
	})
}

// uploads finds what a machine is to be given: the content, and no action yet.
func (d *Deployer) uploads(ctx context.Context, m Machine, u *Upload) (files []UploadedFile, err error) {
	if m.Err != nil {
		return nil, m.Err
	}
	key, err := d.machineKey(ctx, m.Name)
	switch {
	case errors.Is(err, secrets.ErrNoMachineKey) && !hasSecrets(m.Details):
		u.Note = "has no secrets"
	case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, secrets.ErrNoMachineKey):
		u.Note = "brings its own key"
	case err != nil:
		return nil, err
	default:
		files = append(files, UploadedFile{Path: keyPath(m.Details), content: key})
	}
	for _, f := range activationFiles(m) {
		content, err := d.o.Secret(ctx, m.Name, f.value)
		if err != nil {
			return nil, err
		}
		files = append(files, UploadedFile{Path: f.path, content: content})
	}
	if len(files) == 0 {
		return nil, nil
	}
	return files, checkUploadDirectory(m.Details.SecretUploadDirectory)
}

type activationFile struct{ path, value string }

// activationFiles are the secrets that the machine's activation expects in plain
// below its secretUploadDirectory, sorted by path.
func activationFiles(m Machine) (files []activationFile) {
	below := path.Clean(m.Details.SecretUploadDirectory) + "/"
	for _, name := range sortedKeys(m.Details.Generators) {
		for fileName, f := range m.Details.Generators[name].Files {
			if f.Secret && f.Deploy && f.NeededFor == "activation" && strings.HasPrefix(path.Clean(f.Path), below) {
				files = append(files, activationFile{path: path.Clean(f.Path), value: name + "/" + fileName})
			}
		}
	}
	slices.SortFunc(files, func(a, b activationFile) int { return strings.Compare(a.path, b.path) })
	return files
}

// upload puts those files in place that are not as they should be.
func (d *Deployer) upload(ctx context.Context, t Target, files []UploadedFile, dryRun bool, u *Upload) error {
	if err := compareFiles(ctx, t, files); err != nil {
		return err
	}
	for _, f := range files {
		if f.Action != KeyUnchanged && !dryRun {
			if err := f.write(ctx, t); err != nil {
				return err
			}
		}
		u.Files = append(u.Files, f)
	}
	return nil
}

func (f UploadedFile) write(ctx context.Context, t Target) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	return t.WriteFile(ctx, f.Path, f.content)
}

// compareFiles finds out what is to be done about files on a machine.
func compareFiles(ctx context.Context, t Target, files []UploadedFile) error {
	var names []string
	for _, f := range files {
		names = append(names, f.Path)
	}
	if err := askForRoot(ctx, t); err != nil {
		return err
	}
	looking, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	found, err := t.Holds(looking, names[0], names[1:])
	if err != nil {
		return err
	}
	for i, f := range files {
		files[i].Action = KeyInstall
		if now, there := found.Files[f.Path]; there {
			files[i].Action = KeyReplace
			if now.Digest == digest(f.content) && now.Mode.Perm() == 0o600 {
				files[i].Action = KeyUnchanged
			}
		}
	}
	return nil
}
