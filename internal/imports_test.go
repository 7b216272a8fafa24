// Package internal_test holds the house together: it checks which room may
// import which.
package internal_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/crs58/fleet/"

// floors lists the rooms from the roof down. A room may import rooms of floors
// below its own and nothing else of this module.
var floors = [][]string{
	{"cmd/fleet"},
	{"internal/cli"},
	{"internal/host", "internal/verify"},
	{"internal/deploy", "internal/vars", "internal/inventory"},
	{"internal/deploy/units", "internal/vars/builtin", "internal/vars/sandbox"},
	{"internal/flake", "internal/secrets", "internal/ssh"},
	{"internal/nix", "internal/repository"},
	{"internal/environ"},
}

// aside are rooms beside the floors: who may import them, and what they import.
var aside = map[string][]string{
	"internal/config":          {"internal/cli"},
	"internal/term":            {"internal/cli", "cmd/fleet"},
	"internal/flake/templates": {"internal/cli"},
	"internal/flake/core":      {"internal/flake/templates", "internal/flake"},
	"testdata":                 {"internal/flake/templates"},
	"internal/nix/nixtest":     {},
	"internal/testhost":        {},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func TestImportsRunDownwards(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...", module+"testdata").Output()
	if err != nil {
		t.Fatal(err)
	}
	floor := map[string]int{}
	for i, rooms := range floors {
		for _, room := range rooms {
			floor[room] = i
		}
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		room := strings.TrimPrefix(p.ImportPath, module)
		at, onFloor := floor[room]
		_, isAside := aside[room]
		if !onFloor && !isAside && room != "internal" {
			t.Errorf("%s is a room that this test does not know: give it a floor", room)
		}
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, "github.com/getsops/") && room != "internal/secrets" {
				t.Errorf("%s imports %s: only internal/secrets links sops", room, imported)
			}
			other, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			if below, ok := floor[other]; ok && onFloor && below <= at {
				t.Errorf("%s imports %s, which is not below it", room, other)
			}
			if users, ok := aside[other]; ok && !slices.Contains(users, room) {
				t.Errorf("%s imports %s, which is not for it", room, other)
			}
		}
	}
}
