package deploy

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/crs58/fleet/internal/secrets"
)

var (
	//go:embed script/holds.sh
	holdsScript string
	//go:embed script/read.sh
	readScript string
)

// maxKeyFile is how much of a machine's key file is looked at.
const maxKeyFile = 64 << 10

// Holdings is which of some files a machine has.
type Holdings struct {
	// Files are those that are there, by their paths.
	Files map[string]KeyFile
	// Public are the public halves of the keys in the key file, where the
	// machine itself could derive them.
	Public []string
}

// Held is what a machine holds of its secrets.
type Held struct {
	Machine string
	Target  string
	// KeyFile is where the machine's age key belongs; empty if nobody knows.
	KeyFile string
	Holdings
	// KeyErr is why the public half of a key that is there is not known.
	KeyErr error
	// Err is why the machine could not be looked at, and Next the command to go
	// on with, if there is one.
	Err  error
	Next string
}

// Holds looks at the key of every machine and at further files of it, by its
// name, at all machines at once. It changes nothing. A machine's private key is
// read only if its public half is neither derived there nor known from the
// repository, and goes no further than this process.
func (d *Deployer) Holds(ctx context.Context, machines []Machine, files map[string][]string) []Held {
	list := make([]Held, len(machines))
	each(machines, func(i int, m Machine) {
		d.emit(m.Name, Reach, Started, "")
		h := &list[i]
		h.Machine, h.Target, h.KeyFile = m.Name, m.Address, keyPath(m.Details)
		state := Done
		if h.Err = d.during(ctx, Reach, func() error { return d.holds(ctx, m, files[m.Name], h) }); h.Err != nil {
			state, h.Next = Failed, Result{Machine: m.Name, Target: h.Target, Phase: Reach, Err: h.Err}.nextCommand()
		}
		d.emit(m.Name, End, state, "")
	})
	slices.SortFunc(list, func(a, b Held) int { return strings.Compare(a.Machine, b.Machine) })
	return list
}

func (d *Deployer) holds(ctx context.Context, m Machine, files []string, h *Held) error {
	t, err := d.connect(ctx, m)
	if err != nil {
		return err
	}
	h.Target = t.String()
	looking, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if h.Holdings, err = t.Holds(looking, h.KeyFile, files); err != nil {
		return err
	}
	key, there := h.Files[h.KeyFile]
	if !there || len(h.Public) > 0 {
		return nil
	}
	content, err := d.machineKey(ctx, m.Name)
	if err != nil || digest(content) != key.Digest {
		if content, err = t.ReadFile(looking, h.KeyFile, maxKeyFile); err != nil {
			return err
		}
	}
	ids, err := secrets.ParseIdentities(h.KeyFile, content)
	switch {
	case err != nil:
		h.KeyErr = err
	case len(ids.Recipients()) == 0:
		h.KeyErr = fmt.Errorf("%s holds no age key whose public half can be told", h.KeyFile)
	default:
		h.Public = ids.Recipients()
	}
	return nil
}

// connect reaches a machine whose evaluation has not failed. The connection has
// bounds of its own, which leave a person time for a password.
func (d *Deployer) connect(ctx context.Context, m Machine) (Target, error) {
	if m.Err != nil {
		return nil, m.Err
	}
	t, err := d.target(m.Name, m.Class, m.Address)
	if err != nil {
		return nil, err
	}
	return t, t.Connect(ctx)
}

// Holds runs one script for all files.
func (t *scripted) Holds(ctx context.Context, keyFile string, files []string) (Holdings, error) {
	files = append([]string{keyFile}, files...)
	out, err := t.output(ctx, holdsScript, nil, files...)
	if err != nil {
		return Holdings{}, fmt.Errorf("look at the secrets of %s: %w", t.name, err)
	}
	h, err := parseHoldings(out, files)
	if err != nil {
		return Holdings{}, fmt.Errorf("look at the secrets of %s: %w", t.name, err)
	}
	return h, nil
}

// parseHoldings reads what holds.sh prints of files.
func parseHoldings(text string, files []string) (Holdings, error) {
	h := Holdings{Files: map[string]KeyFile{}}
	var user string
	var root bool
	var file KeyFile
	told := 0
	for name, value := range pairs(text) {
		switch name {
		case "uid":
			root = value == "0"
		case "user":
			user = value
		case "public":
			h.Public = append(h.Public, value)
		case "mode":
			mode, err := strconv.ParseUint(value, 8, 32)
			if err != nil {
				return Holdings{}, fmt.Errorf("the mode %q of a file is no number", value)
			}
			file.Mode = fs.FileMode(mode)
		case "digest":
			file.Digest = value
		case "file":
			if told < len(files) && files[told] == value {
				told++
			}
			if file.Digest != "" {
				h.Files[value] = file
			}
			file = KeyFile{}
		}
	}
	switch {
	case user != "" && !root:
		return Holdings{}, fmt.Errorf("it lets us in as %s, but only root can look at secrets: write root@ in its address", user)
	case told != len(files):
		return Holdings{}, fmt.Errorf("its shell did not run the script to its end: it printed %q", firstLine(text))
	}
	return h, nil
}

// ReadFile runs a script that prints the file.
func (t *scripted) ReadFile(ctx context.Context, name string, limit int) ([]byte, error) {
	out, err := t.output(ctx, readScript, nil, name, strconv.Itoa(limit))
	if err != nil {
		return nil, fmt.Errorf("read %s on %s: %w", name, t.name, err)
	}
	return []byte(out), nil
}

// Holds looks into the folder.
func (t *rootTarget) Holds(_ context.Context, keyFile string, files []string) (Holdings, error) {
	h := Holdings{Files: map[string]KeyFile{}}
	if t.root == nil {
		return h, nil
	}
	for _, name := range append([]string{keyFile}, files...) {
		info, err := t.root.Stat(t.resolve(name))
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			continue
		}
		if err != nil {
			return Holdings{}, fmt.Errorf("look for %s below %s: %w", name, t.path, err)
		}
		data, err := t.root.ReadFile(t.resolve(name))
		if err != nil {
			return Holdings{}, fmt.Errorf("read %s below %s: %w", name, t.path, err)
		}
		h.Files[name] = KeyFile{Digest: digest(data), Mode: info.Mode().Perm()}
	}
	return h, nil
}

// ReadFile reads a file of the folder.
func (t *rootTarget) ReadFile(_ context.Context, name string, limit int) ([]byte, error) {
	f, err := t.root.Open(t.resolve(name))
	if err != nil {
		return nil, fmt.Errorf("read %s below %s: %w", name, t.path, err)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, int64(limit)))
}

// resolve follows the folder of a file where that is a link, as /run/secrets
// is: the link is absolute, which [os.Root] takes for a way out.
func (t *rootTarget) resolve(name string) string {
	folder := path.Dir(name)
	if to, err := t.root.Readlink(rel(folder)); err == nil && path.IsAbs(to) {
		folder = to
	}
	return rel(path.Join(folder, path.Base(name)))
}
