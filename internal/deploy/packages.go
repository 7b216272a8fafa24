package deploy

import (
	"cmp"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Package is a package that differs between two systems: all store paths of
// one name. One that both have, with the same versions, and that only differs
// in size has no versions here.
type Package struct {
	Name string `json:"name"`
	// Before and After are the versions that only one of the two systems has,
	// sorted. A path without a version has the version "".
	Before []string `json:"before"`
	After  []string `json:"after"`
	// Added and Removed tell that only the new or only the old system has the
	// package.
	Added   bool `json:"added,omitempty"`
	Removed bool `json:"removed,omitempty"`
	// Bytes is by how much its paths are larger in the new system.
	Bytes int64 `json:"bytes"`
}

// versionless tells that no path of the package has a version: it is part of the
// configuration rather than a program.
func (p Package) versionless() bool {
	isEmpty := func(version string) bool { return version == "" }
	return !slices.ContainsFunc(p.Before, func(v string) bool { return !isEmpty(v) }) &&
		!slices.ContainsFunc(p.After, func(v string) bool { return !isEmpty(v) })
}

// closure is the size of each path of a system.
type closure map[string]int64

func (c closure) size() int64 {
	var sum int64
	for _, size := range c {
		sum += size
	}
	return sum
}

// comparePackages tells what differs between two systems, sorted by name. What
// only has another hash is no difference.
func comparePackages(before, after closure) []Package {
	old, now := byPackage(before), byPackage(after)
	names := slices.Collect(maps.Keys(old))
	for name := range now {
		if _, both := old[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var list []Package
	for _, name := range names {
		p := Package{
			Name: name, Before: only(old[name].versions, now[name].versions), After: only(now[name].versions, old[name].versions),
			Added: old[name].versions == nil, Removed: now[name].versions == nil,
			Bytes: now[name].bytes - old[name].bytes,
		}
		if len(p.Before) > 0 || len(p.After) > 0 || p.Bytes != 0 {
			list = append(list, p)
		}
	}
	return list
}

// pathsOf are the store paths of one package.
type pathsOf struct {
	versions map[string]bool
	bytes    int64
}

func byPackage(c closure) map[string]pathsOf {
	all := map[string]pathsOf{}
	for storePath, size := range c {
		name, version := packageOf(storePath)
		p := all[name]
		if p.versions == nil {
			p.versions = map[string]bool{}
		}
		p.versions[version] = true
		p.bytes += size
		all[name] = p
	}
	return all
}

// only are the versions of a that are none of b, the lower numbers first.
func only(a, b map[string]bool) []string {
	list := []string{}
	for version := range a {
		if !b[version] {
			list = append(list, version)
		}
	}
	slices.SortFunc(list, compareVersions)
	return list
}

// outputName is the end of a store path's name that names an output. It cannot be
// told from the end of a package's own name; these are the ones in use.
var outputName = regexp.MustCompile(`-(bin|data|debug|dev|devdoc|devman|dist|doc|getent|info|lib|lib32|lib64|libgcc|locale|man|modules|nc|out|passthru|py|static|terminfo|xgettext)$`)

// packageOf gives the name and the version of a package from its store path, as
// Nix does: the version begins after the first hyphen that no letter follows.
func packageOf(storePath string) (name, version string) {
	const hash = 33 // with its hyphen
	base := path.Base(storePath)
	if len(base) > hash {
		base = base[hash:]
	}
	for i := 0; i < len(base)-1; i++ {
		if base[i] == '-' && !isLetter(base[i+1]) {
			return base[:i], outputName.ReplaceAllString(base[i+1:], "")
		}
	}
	return base, ""
}

func isLetter(b byte) bool { return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' }

// compareVersions orders versions by their parts; numbers by their value.
func compareVersions(a, b string) int {
	as, bs := versionParts.FindAllString(a, -1), versionParts.FindAllString(b, -1)
	for i := range min(len(as), len(bs)) {
		if c := comparePart(as[i], bs[i]); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(len(as), len(bs)), strings.Compare(a, b))
}

var versionParts = regexp.MustCompile(`[0-9]+|[^0-9.\-]+`)

func comparePart(a, b string) int {
	if a[0] >= '0' && a[0] <= '9' && b[0] >= '0' && b[0] <= '9' {
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	}
	return strings.Compare(a, b)
}
