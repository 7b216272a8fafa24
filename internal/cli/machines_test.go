package cli

import (
	"testing"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/google/go-cmp/cmp"
)

// What several machines have in common that only had to stop is said once; a
// failure is said with its log and the command to go on with.
func TestSayProblems(t *testing.T) {
	app, _, stderr := testApp(t)
	app.sayProblems(&deploy.Summary{Results: []deploy.Result{
		{Machine: "a", State: deploy.Interrupted, Message: "interrupted; the machine is as it was", Log: "/log/a"},
		{Machine: "b", State: deploy.Failed, Message: "it broke", Next: "mend b", Log: "/log/b"},
		{Machine: "c", State: deploy.Done, Message: "must be rebooted"},
		{Machine: "d", State: deploy.Interrupted, Message: "interrupted; the machine is as it was", Log: "/log/d"},
		{Machine: "e", State: deploy.Interrupted, Message: "interrupted while copying", Log: "/log/e"},
		{Machine: "f", State: deploy.Failed, Message: "it broke", Log: "/log/f"},
		{Machine: "g", State: deploy.Skipped, Message: "nobody is there"},
		{Machine: "h", State: deploy.Failed, Message: "it does not evaluate (log: /log/nix)", Log: "/log/h"},
		{Machine: "i", State: deploy.Failed, Message: "builder for 'x' failed; it printed last: no paper; failed with it: i (log: /log/nix-i)", Next: "build i"},
		{Machine: "j", State: deploy.Failed, Message: "builder for 'x' failed; it printed last: no paper; failed with it: j (log: /log/nix-j)", Next: "build j"},
		{Machine: "k", State: deploy.Failed, Message: "builder for 'y' failed; it printed last: no paper; failed with it: k (log: /log/nix-k)"},
	}})
	const want = `error: a, d: interrupted; the machine is as it was
error: b: it broke
  next: mend b
  log:  /log/b
error: e: interrupted while copying
error: f: it broke
  log:  /log/f
g: skipped, it is not reached: nobody is there
error: h: it does not evaluate (log: /log/nix)
error: i: builder for 'x' failed; it printed last: no paper; failed with it: i (log: /log/nix-i)
  next: build i
error: j: as i: builder for 'x' failed
error: k: builder for 'y' failed; it printed last: no paper; failed with it: k (log: /log/nix-k)
`
	if diff := cmp.Diff(want, stderr.String()); diff != "" {
		t.Error(diff)
	}
}
