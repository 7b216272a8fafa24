package deploy

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/flake"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseFacts(t *testing.T) {
	text := `Welcome to cinnabar!
uid=0
user=root
os=Linux
nixos=yes
nixdaemon=/bin/nix-daemon
nix=nix-2.26.3
system=/nix/store/a-nixos
booted=/nix/store/b-nixos
generation=system-42-link
profile=/nix/store/a-nixos
created=1700000000
deploy=20260102-1
deployout=/nix/store/c-nixos
deployowner=crs58@stibnite of the house
deployage=90
deployphase=waiting
deploylive=yes
claim=100 90 95 run-1 ann of the house
keydigest=abcd
keymode=600
disk=1000 10 /nix with space
systemd=yes
failed=a.service
failed=b=c.service
`
	got, err := parseFacts(text)
	if err != nil {
		t.Fatal(err)
	}
	want := Facts{
		System: "/nix/store/a-nixos", Booted: "/nix/store/b-nixos", Profile: "/nix/store/a-nixos", Generation: 42, Created: time.Unix(1700000000, 0).UTC(),
		Deploy: &Underway{ID: "20260102-1", Out: "/nix/store/c-nixos", Owner: "crs58@stibnite of the house", Stand: Waiting, Seconds: 90, Live: true}, Key: KeyFile{Digest: "abcd", Mode: 0o600}, FailedUnits: []string{"a.service", "b=c.service"},
		Systemd: true, Nix: "nix-2.26.3", HasStore: true, Store: Disk{Mount: "/nix with space", Free: 10 * 1024, Total: 1000 * 1024},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Facts{})); diff != "" {
		t.Error(diff)
	}
	if !got.root || got.user != "root" || !got.nixos || got.daemon != "/bin/nix-daemon" ||
		*got.claim != (BusyError{Owner: "ann of the house", Run: "run-1", Age: 10 * time.Second}) {
		t.Errorf("%+v", got)
	}
	if _, err := parseFacts("this account is disabled\n"); err == nil || !strings.Contains(err.Error(), "this account is disabled") {
		t.Errorf("no script ran: %v", err)
	}
}

func FuzzParseFacts(f *testing.F) {
	f.Add("os=Linux\ndisk=1 2 3\nkeymode=9\n")
	f.Fuzz(func(t *testing.T, text string) {
		facts, err := parseFacts(text)
		if err == nil && facts.os == "" {
			t.Error("facts without an os")
		}
	})
}

func TestParseProgress(t *testing.T) {
	for _, test := range []struct {
		text string
		want Progress
	}{
		{"\nfleet: - running activating \n", Progress{Stand: Activating, Code: -1}},
		{"one\ntwo\n\nfleet: s=a;i=1 running waiting 4\n", Progress{Position: "s=a;i=1", Output: "one\ntwo\n", Stand: Waiting, Code: 4}},
		{"half\nfleet: 4 running rolling-back 2\n", Progress{Position: "4", Output: "half", Stand: RollingBack, Code: 2}},
		{"\nfleet: 1 x\n\nfleet: 2 ended done 0\n", Progress{Position: "2", Output: "\nfleet: 1 x\n", Stand: Ended, Ending: EndDone}},
		{"\nfleet: 2 ended rolled-back expired 100\n", Progress{Position: "2", Stand: Ended, Ending: EndRolledBack, Cause: CauseExpired, Code: 100}},
		{"\nfleet: 2 ended failed killed -\n", Progress{Position: "2", Stand: Ended, Ending: EndFailed, Cause: CauseKilled, Code: -1}},
		{"\nfleet: 2 dead\n", Progress{Position: "2", Stand: Dead, Code: -1}},
		{"\nfleet: - gone\n", Progress{Stand: Gone, Code: -1}},
	} {
		got, err := parseProgress(test.text)
		if err != nil || got != test.want {
			t.Errorf("%q: %+v, %v; want %+v", test.text, got, err, test.want)
		}
	}
	for _, text := range []string{"", "nothing", "\nfleet: 1", "\nfleet: 1 running away\n", "\nfleet: 1 ended well\n", "\nfleet: 1 asleep\n"} {
		if got, err := parseProgress(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// Whoever adopts an activation knows of it what its driver knew.
func TestPlanIsAdopted(t *testing.T) {
	a := Activation{
		ID: "20260102-1", Class: flake.Darwin, Out: "/nix/store/x", Goal: Test, Owner: "crs58@stibnite", Token: "abc", Limit: time.Minute, Window: 90 * time.Second,
		Health:  &flake.Health{FailedUnits: "warn", Checks: map[string]*flake.HealthCheck{"web": {HTTP: "http://x/\n", Attempts: 3}}},
		Secrets: []string{"/var/lib/sops-nix/key.txt", "/a=b c\n"},
	}
	got, err := parsePlan("Welcome!\nid=20260102-1\n" + a.plan() + "from=/nix/store/y\nsince=7\n")
	if diff := cmp.Diff(a, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	a.Health = nil
	if got, err := parsePlan("id=20260102-1\n" + a.plan()); err != nil || got.Health != nil {
		t.Errorf("%v, %+v", err, got)
	}
	if _, err := parsePlan("Welcome!\n"); !errors.Is(err, errNoActivation) {
		t.Errorf("%v", err)
	}
}

func FuzzParsePlan(f *testing.F) {
	f.Add("id=1\nout=/x\nhealth={}\nwindow=9\n")
	f.Fuzz(func(t *testing.T, text string) {
		if a, err := parsePlan(text); err == nil && (a.ID == "" || a.Out == "") {
			t.Errorf("%+v", a)
		}
	})
}

func FuzzParseProgress(f *testing.F) {
	f.Add("one\n\nfleet: 1 ended done 4\n")
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := parseProgress(text); err == nil && (p.Stand == "" || !strings.HasPrefix(text, p.Output)) {
			t.Errorf("%q: %+v", text, p)
		}
	})
}

func TestLineSplitter(t *testing.T) {
	var got []string
	s := &lineSplitter{line: func(l string) { got = append(got, l) }}
	for _, part := range []string{"on", "e\ntwo\r\n", "\nthr", "ee"} {
		if _, err := s.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	s.flush()
	s.flush()
	if diff := cmp.Diff([]string{"one", "two", "", "three"}, got); diff != "" {
		t.Error(diff)
	}
	got = nil
	if _, err := s.Write([]byte(strings.Repeat("x", 3*maxLine/2) + "\ny\n")); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || len(got[0]) != maxLine || len(got[1]) != maxLine/2 || got[2] != "y" {
		t.Errorf("a long line became %d lines", len(got))
	}
}

func TestUploadDirectory(t *testing.T) {
	for dir, ok := range map[string]bool{
		"/var/lib/sops-nix": true, "/root/keys": true, "/etc/fleet": true, "/var/lib/a/b": true,
		"/": false, "/etc": false, "/var/lib": false, "/var/lib/..": false, "/var/lib/x/..": false, "": false, "var/lib/sops": false, "/etc/": false,
	} {
		if err := checkUploadDirectory(dir); (err == nil) != ok {
			t.Errorf("%q: %v", dir, err)
		}
	}
}

func TestBytesText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 1_234_567: "1.2 MB", 5e12: "5.0 TB", 5e15: "5000.0 TB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

func TestGenerationNumber(t *testing.T) {
	for link, want := range map[string]int{"system-7-link": 7, "/nix/var/nix/profiles/system-12-link": 12, "system": 0, "system-x-link": 0, "other-3-link": 0, "": 0} {
		if got := generationNumber(link); got != want {
			t.Errorf("%q is %d, want %d", link, got, want)
		}
	}
}
