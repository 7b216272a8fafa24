package deploy

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/ssh"
)

// troubled is this computer, treated as a host is, with something wrong about it.
type troubled struct {
	*localTarget
	look, reconnect func() error
	slow            bool   // it does not tell how it is for as long as it waits
	token           string // of the confirmation; empty for the right one

	stand Stand // as it was last seen
}

func (t *troubled) Begin(ctx context.Context, a Activation) error { return t.scripted.Begin(ctx, a) }

func (t *troubled) Reconnect(context.Context) error {
	if t.reconnect != nil {
		return t.reconnect()
	}
	return nil
}

func (t *troubled) Look(ctx context.Context, id string, last Progress, wait time.Duration) (Progress, error) {
	if t.look != nil {
		if err := t.look(); err != nil {
			return Progress{}, err
		}
	}
	p, err := t.scripted.Look(ctx, id, last, wait)
	t.stand = p.Stand
	return p, err
}

func (t *troubled) Inspect(ctx context.Context, keyFile, deploy string) (Facts, error) {
	if t.slow && t.stand == Waiting {
		<-ctx.Done()
		return Facts{}, ctx.Err()
	}
	return t.scripted.Inspect(ctx, keyFile, deploy)
}

func (t *troubled) Decide(ctx context.Context, id, token string, wanted Decision) (Decision, error) {
	return t.scripted.Decide(ctx, id, cmp.Or(t.token, token), wanted)
}

// A driver that sees badly how an activation does confirms it all the same; where
// it is not confirmed the true reason is said, and nothing of it lasts for ever.
func TestFollow(t *testing.T) {
	if !InComputer(t) {
		return
	}
	// hangs gives a folder with a nix-env that hangs when it has an option.
	hangs := func(option string) string {
		dir := t.TempDir()
		place(t, dir+"/nix-env", "#!/bin/sh\ncase \" $* \" in *' "+option+" '*) exec sleep 600 ;; esac\nPATH=${PATH#*:}\nexec nix-env \"$@\"\n")
		return dir
	}
	looks := 0
	for i, test := range []struct {
		name          string
		on            troubled
		does          string // what the system does beside
		path          string // comes first in PATH
		window, limit time.Duration
		state         State
		text, event   string
	}{
		{name: "well", state: Done},
		{name: "blind", state: Done, event: "trying again: it cannot fork", on: troubled{look: func() error {
			if looks++; looks < 10 {
				return errors.New("it cannot fork")
			}
			return nil
		}}},
		{name: "loud", state: Done, does: "[ -e /run/loud ] || seq -f %01000.0f 3000; echo >/run/loud the last of it; cat /run/loud", event: " bytes that it printed are left out here"},
		{
			name: "away", state: RolledBack, window: 2 * time.Second, text: "not confirmed within 2s: the machine could not be reached: no route",
			on: troubled{reconnect: func() error { return fmt.Errorf("no route: %w", ssh.ErrConnectionLost) }},
		},
		{
			name: "slow", state: RolledBack, window: 2 * time.Second, text: "not confirmed within 2s: it took longer to find out how it does: ",
			on: troubled{slow: true},
		},
		{
			name: "strange", state: RolledBack, window: 2 * time.Second, text: "not confirmed within 2s: the machine does not take our word (stranger)",
			on: troubled{token: "guessed"},
		},
		{
			name: "profile hangs", state: RolledBack, limit: 5 * time.Second, path: hangs("--set"),
			text: "could not be made the one that is booted: ", event: "nix-env took longer than 5 s and was stopped",
		},
		{
			name: "profile hangs on the way back", state: Failed, limit: 5 * time.Second, path: hangs("--switch-generation"),
			does: "[ \"$1\" != boot ] || exit 1", text: "going back to the system of before failed too (exit status 124)",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.path != "" {
				t.Setenv("PATH", test.path+":"+os.Getenv("PATH"))
			}
			var said strings.Builder
			d := New(Options{Now: time.Now, Random: rand.Reader, OnEvent: func(e Event) { said.WriteString(e.Message + "\n") }})
			test.on.localTarget = newLocalTarget(flake.NixOS, true, nil)
			a := Activation{
				ID: fmt.Sprintf("20260102-%d", i), Class: flake.NixOS, Out: addSystem(t, "# "+test.name, test.does), Goal: Switch, Token: "token",
				Limit: cmp.Or(test.limit, time.Minute), Window: cmp.Or(test.window, time.Minute),
			}
			a.Found, _ = os.Readlink("/run/current-system")
			s := Step{Machine: "m", Class: a.Class, Goal: a.Goal}
			s.Wanted.OutPath = a.Out
			f := &follower{d: d, s: s, t: &test.on, id: a.ID, token: a.Token, window: a.Window, limit: a.Limit}
			if err := f.begin(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if r := f.follow(t.Context(), newResult(s)); r.State != test.state || !strings.Contains(r.Message, test.text) {
				t.Errorf("it is %s: %s", r.State, r.Message)
			}
			if text := said.String(); !strings.Contains(text, test.event) || len(text) > 2<<20 || test.name == "loud" && !strings.Contains(text, "the last of it") {
				t.Errorf("of %d bytes of events there is not %q:\n%s", len(text), test.event, text[:min(len(text), 2000)])
			}
		})
	}
}
