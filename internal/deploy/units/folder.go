package units

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Dir is where the unit files of a system are, and, on a machine, those that
// an activation is in charge of.
const Dir = "etc/systemd/system"

// Folder is what a system has in Dir.
type Folder struct {
	// Names are the files there, and in the folders of units, such as
	// a.service.d/b.conf and multi-user.target.wants/a.service.
	Names map[string]bool
	// Texts are what unit files and drop-ins say. One that is masked, by a link to
	// /dev/null, has none.
	Texts map[string]string
}

// NewFolder is a folder without files.
func NewFolder() Folder {
	return Folder{Names: map[string]bool{}, Texts: map[string]string{}}
}

// readFolder reads all unit files of a system, given its folder.
func readFolder(system fs.FS) (Folder, error) {
	f := NewFolder()
	for _, pattern := range []string{"*", "*.d/*", "*.wants/*", "*.requires/*", "*.upholds/*"} {
		files, err := fs.Glob(system, Dir+"/"+pattern)
		if err != nil {
			return f, fmt.Errorf("list the units of the new system: %w", err)
		}
		for _, file := range files {
			name := strings.TrimPrefix(file, Dir+"/")
			f.Names[name] = true
			info, err := fs.Stat(system, file)
			if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
				continue
			}
			text, err := fs.ReadFile(system, file)
			if err != nil {
				return f, fmt.Errorf("read the unit %s of the new system: %w", name, err)
			}
			f.Texts[name] = string(text)
		}
	}
	return f, nil
}

// Read adds texts as compare.sh prints them: a line file=NAME, then the lines of the
// file, each after a space.
func (f Folder) Read(text string) {
	name := ""
	for line := range strings.Lines(text) {
		if file, ok := strings.CutPrefix(line, "file="); ok {
			name = strings.TrimSuffix(file, "\n")
			f.Texts[name] = ""
		} else if more, ok := strings.CutPrefix(line, " "); ok && name != "" {
			f.Texts[name] += more
		}
	}
}

// dropIns are the drop-ins of a unit, sorted.
func (f Folder) dropIns(unit string) []string {
	var files []string
	for file := range f.Texts {
		if path.Dir(file) == unit+".d" && strings.HasSuffix(file, ".conf") {
			files = append(files, file)
		}
	}
	slices.Sort(files)
	return files
}

// unit reads a unit with its drop-ins. The base is the unit's own file or its
// template's.
func (f Folder) unit(base, name string) unitFile {
	u := unitFile{}
	u.read(f.Texts[base])
	for _, unit := range slices.Compact([]string{base, name}) {
		for _, file := range f.dropIns(unit) {
			u.read(f.Texts[file])
		}
	}
	return u
}

// wantedBy are the units that are started with a unit.
func (f Folder) wantedBy(unit string) []string {
	var list []string
	file := f.unit(unit, unit)
	for _, kind := range []string{"Wants", "Requires", "Upholds"} {
		list = append(list, strings.Fields(strings.Join(file["Unit"][kind], " "))...)
		folder := unit + "." + strings.ToLower(kind)
		for name := range f.Names {
			if path.Dir(name) == folder {
				list = append(list, path.Base(name))
			}
		}
	}
	return list
}
