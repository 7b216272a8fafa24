package deploy

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// unitDir is where the unit files of a system are, and, on a machine, those that
// an activation is in charge of.
const unitDir = "etc/systemd/system"

// unitFolder is what a system has in unitDir.
type unitFolder struct {
	// names are the files there, and in the folders of units, such as
	// a.service.d/b.conf and multi-user.target.wants/a.service.
	names map[string]bool
	// texts are what unit files and drop-ins say. One that is masked, by a link to
	// /dev/null, has none.
	texts map[string]string
}

func newUnitFolder() unitFolder {
	return unitFolder{names: map[string]bool{}, texts: map[string]string{}}
}

// readUnitFolder reads all unit files of a system, given its folder.
func readUnitFolder(system fs.FS) (unitFolder, error) {
	f := newUnitFolder()
	for _, pattern := range []string{"*", "*.d/*", "*.wants/*", "*.requires/*", "*.upholds/*"} {
		files, err := fs.Glob(system, unitDir+"/"+pattern)
		if err != nil {
			return f, fmt.Errorf("list the units of the new system: %w", err)
		}
		for _, file := range files {
			name := strings.TrimPrefix(file, unitDir+"/")
			f.names[name] = true
			info, err := fs.Stat(system, file)
			if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
				continue
			}
			text, err := fs.ReadFile(system, file)
			if err != nil {
				return f, fmt.Errorf("read the unit %s of the new system: %w", name, err)
			}
			f.texts[name] = string(text)
		}
	}
	return f, nil
}

// read adds texts as compare.sh prints them: a line file=NAME, then the lines of the
// file, each after a space.
func (f unitFolder) read(text string) {
	name := ""
	for line := range strings.Lines(text) {
		if file, ok := strings.CutPrefix(line, "file="); ok {
			name = strings.TrimSuffix(file, "\n")
			f.texts[name] = ""
		} else if more, ok := strings.CutPrefix(line, " "); ok && name != "" {
			f.texts[name] += more
		}
	}
}

// dropIns are the drop-ins of a unit, sorted.
func (f unitFolder) dropIns(unit string) []string {
	var files []string
	for file := range f.texts {
		if path.Dir(file) == unit+".d" && strings.HasSuffix(file, ".conf") {
			files = append(files, file)
		}
	}
	slices.Sort(files)
	return files
}

// unit reads a unit with its drop-ins. The base is the unit's own file or its
// template's.
func (f unitFolder) unit(base, name string) unitFile {
	u := unitFile{}
	u.read(f.texts[base])
	for _, unit := range slices.Compact([]string{base, name}) {
		for _, file := range f.dropIns(unit) {
			u.read(f.texts[file])
		}
	}
	return u
}

// wantedBy are the units that are started with a unit.
func (f unitFolder) wantedBy(unit string) []string {
	var list []string
	file := f.unit(unit, unit)
	for _, kind := range []string{"Wants", "Requires", "Upholds"} {
		list = append(list, strings.Fields(strings.Join(file["Unit"][kind], " "))...)
		folder := unit + "." + strings.ToLower(kind)
		for name := range f.names {
			if path.Dir(name) == folder {
				list = append(list, path.Base(name))
			}
		}
	}
	return list
}
