package deploy

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
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if u[section] == nil {
			u[section] = map[string][]string{}
		}
		if value == "" {
			u[section][key] = nil
			continue
		}
		u[section][key] = append(u[section][key], value)
	}
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

// compareUnits tells what NixOS does about a unit that runs as before says and
// is to run as after says, by the rules of its switch-to-configuration.
func compareUnits(before, after unitFile) unitEffect {
	effect := unaffected
	for _, place := range [][2]unitFile{{before, after}, {after, before}} {
		for section, keys := range place[0] {
			for key, values := range keys {
				if !slices.Equal(values, place[1][section][key]) {
					effect = max(effect, keyEffect(section, key, len(after[section][key]) > 0))
				}
			}
		}
	}
	return effect
}

// keyEffect is what a change of one key means; kept tells that the new file has it.
func keyEffect(section, key string, kept bool) unitEffect {
	switch {
	case section == "Install", section == "Unit" && slices.Contains(harmlessKeys, key):
		return unaffected
	case section == "Unit" && key == "X-Reload-Triggers", section == "Service" && key == "ExecReload":
		if !kept {
			return unaffected
		}
		return reloads
	case section == "Mount" && key == "Options" && kept:
		return reloads
	}
	return restarts
}
