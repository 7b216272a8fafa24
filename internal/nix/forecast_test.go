package nix

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestForecast(t *testing.T) {
	f := &Forecast{}
	for line := range strings.Lines(`these 2 derivations will be built:
  /nix/store/b.drv
  /nix/store/a.drv
these 2 paths will be fetched (1.50 MiB download, 6.20 MiB unpacked):
  /nix/store/c
  /nix/store/d
don't know how to build these paths:
  /nix/store/e
this path will be fetched:
  /nix/store/f
`) {
		f.Note(Event{Kind: Message, Text: strings.TrimRight(line, "\n")})
		f.Note(Event{Kind: LogLine, Text: "  /nix/store/of-a-log"})
	}
	want := &Forecast{Build: []string{"/nix/store/b.drv", "/nix/store/a.drv"}, Fetch: []string{"/nix/store/c", "/nix/store/d", "/nix/store/f"}, Download: 3 << 19}
	if diff := cmp.Diff(want, f, cmpopts.IgnoreUnexported(Forecast{})); diff != "" {
		t.Error(diff)
	}
}

func FuzzForecast(f *testing.F) {
	f.Add("this derivation will be built:\n  /a\nthese 9 paths will be fetched (9999999999.9 TiB download, 0 MiB unpacked):\n  /b")
	f.Fuzz(func(t *testing.T, text string) {
		forecast := &Forecast{}
		forecast.Note(Event{Kind: Message, Text: text})
		if n := len(forecast.Build) + len(forecast.Fetch); n > strings.Count(text, "\n")+1 {
			t.Errorf("%d paths in %q", n, text)
		}
	})
}
