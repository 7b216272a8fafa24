package units

import (
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
