package units

import (
	"slices"
	"strings"
)

// unitFile is what a systemd unit says: by section and key, all values. A
// drop-in is read over the unit that it is for.
type unitFile map[string]map[string][]string

// read adds a file. An empty value takes back the ones before, as in systemd.
func (u unitFile) read(text string) {
	section := ""
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		for strings.HasSuffix(line, `\`) && text != "" { // goes on in the next line
			var more string
			more, text, _ = strings.Cut(text, "\n")
			line = strings.TrimSuffix(line, `\`) + " " + more
		}
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "["); ok && strings.HasSuffix(name, "]") {
			section = strings.TrimSuffix(name, "]")
			u.section(section)
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		keys := u.section(section)
		if value == "" {
			keys[key] = nil
			continue
		}
		keys[key] = append(keys[key], value)
	}
}

func (u unitFile) section(name string) map[string][]string {
	if u[name] == nil {
		u[name] = map[string][]string{}
	}
	return u[name]
}

// flag reads a setting that is yes or no; the last value counts.
func (u unitFile) flag(section, key string, fallback bool) bool {
	values := u[section][key]
	if len(values) == 0 {
		return fallback
	}
	return slices.Contains([]string{"1", "yes", "true", "on"}, values[len(values)-1])
}

// unitEffect is what a changed unit file means for the running unit.
type unitEffect int

const (
	unaffected unitEffect = iota
	reloads
	restarts
)

// harmlessKeys of [Unit] say nothing about how the unit runs.
var harmlessKeys = []string{
	"Description", "Documentation", "OnFailure", "OnSuccess", "OnFailureJobMode", "IgnoreOnIsolate", "StopWhenUnneeded",
	"RefuseManualStart", "RefuseManualStop", "AllowIsolate", "CollectMode", "SourcePath",
}

// compareFiles tells what NixOS does about a unit that runs as before says and
// is to run as after says, by the rules of its switch-to-configuration.
func compareFiles(before, after unitFile) unitEffect {
	effect, added := unaffected, 0
	for _, section := range unionOfKeys(before, after) {
		if section == "Install" {
			continue
		}
		old, was := before[section]
		now, is := after[section]
		if !was {
			added++
		}
		if was != is && section != "Unit" && !reloadsOnly(section, old, now) || added > 1 {
			return restarts
		}
		for _, key := range unionOfKeys(old, now) {
			value, had := old[key]
			next, has := now[key]
			if had != has || !slices.Equal(value, next) {
				effect = max(effect, keyEffect(section, key, had, has))
			}
		}
	}
	return effect
}

// reloadsOnly tells whether a section that only one of two files has says how the
// service is reloaded and no more.
func reloadsOnly(section string, old, now map[string][]string) bool {
	keys := unionOfKeys(old, now)
	return section == "Service" && slices.Equal(keys, []string{"ExecReload"})
}

// keyEffect is what a change of one key means, which the file of before had, or that
// of after has.
func keyEffect(section, key string, had, has bool) unitEffect {
	switch {
	case section == "Unit" && slices.Contains(harmlessKeys, key):
		return unaffected
	case section == "Unit" && key == "X-Reload-Triggers", section == "Service" && key == "ExecReload":
		if !has {
			return unaffected
		}
		return reloads
	case section == "Mount" && key == "Options" && had && has:
		return reloads
	}
	return restarts
}

func unionOfKeys[V any](a, b map[string]V) []string {
	return slices.Compact(slices.Sorted(func(yield func(string) bool) {
		for _, m := range []map[string]V{a, b} {
			for key := range m {
				if !yield(key) {
					return
				}
			}
		}
	}))
}
