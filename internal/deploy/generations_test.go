package deploy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseGenerations(t *testing.T) {
	got, err := parseGenerations(`Welcome to cinnabar!
os=Linux
system=/nix/store/b-nixos
booted=/nix/store/a-nixos
profile=system-10-link
generation=/nix/var/nix/profiles/system-10-link
out=/nix/store/b-nixos
created=1700000000
version=25.11
revision=abc
generation=/nix/var/nix/profiles/system-9-link
out=/nix/store/a-nixos
created=never
generation=/nix/var/nix/profiles/system-x-link
out=/nix/store/c-nixos
`)
	if err != nil {
		t.Fatal(err)
	}
	want := Generations{System: "/nix/store/b-nixos", List: []Generation{
		{Number: 9, System: "/nix/store/a-nixos", Booted: true},
		{Number: 10, System: "/nix/store/b-nixos", Created: time.Unix(1700000000, 0).UTC(), Version: "25.11", Revision: "abc", Current: true, Running: true},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := parseGenerations("this account is disabled\n"); err == nil || !strings.Contains(err.Error(), "this account is disabled") {
		t.Errorf("no script ran: %v", err)
	}
}

func FuzzParseGenerations(f *testing.F) {
	f.Add("os=\ngeneration=system-1-link\ncreated=1\nout=x\n")
	f.Fuzz(func(t *testing.T, text string) {
		gs, err := parseGenerations(text)
		for i, g := range gs.List {
			if err != nil || g.Number <= 0 || i > 0 && gs.List[i-1].Number > g.Number {
				t.Errorf("%+v, %v", gs.List, err)
			}
		}
	})
}
