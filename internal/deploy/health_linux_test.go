package deploy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/testhost"
)

// A new system stays if its health checks succeed, on the machine and from here.
func TestHealth(t *testing.T) {
	const serve = "mkdir -p /srv/web; echo all is well > /srv/web/health; /usr/bin/busybox httpd -p 8080 -h /srv/web"
	n := testhost.NewNetwork(t)
	quick := func(c flake.HealthCheck) *flake.HealthCheck {
		c.Attempts, c.Timeout = max(1, c.Attempts), 5
		return &c
	}
	type checks map[string]*flake.HealthCheck
	cases := []struct {
		name   string
		full   bool
		second system
		checks func(ip string) checks
		health flake.Health
		state  deploy.State
		texts  []string
	}{
		{
			name: "well", second: system{after: serve}, state: deploy.Done,
			checks: func(ip string) checks {
				return checks{
					"command": quick(flake.HealthCheck{Command: "test -e /etc/version && [ \"$(id -u)\" = 0 ]"}),
					"inside":  quick(flake.HealthCheck{HTTP: "http://127.0.0.1:8080/health", Contains: "is well", From: "machine"}),
					"outside": quick(flake.HealthCheck{HTTP: "http://" + ip + ":8080/health", From: "driver"}),
					"missing": quick(flake.HealthCheck{HTTP: "http://127.0.0.1:8080/none", Status: []int{404}}),
					"port":    quick(flake.HealthCheck{TCP: "127.0.0.1:8080"}),
				}
			},
		},
		{
			name: "slow", second: system{after: "{ sleep 2; " + serve + "; } >/dev/null 2>&1 &"}, state: deploy.Done,
			checks: func(string) checks {
				return checks{"web": quick(flake.HealthCheck{HTTP: "http://127.0.0.1:8080/health", Attempts: 20, Period: 1})}
			},
		},
		{ // more than a connection has sessions, each with its own time
			name: "many", state: deploy.Done,
			checks: func(string) checks {
				many := checks{}
				for i := range 10 {
					many[fmt.Sprint(i)] = quick(flake.HealthCheck{Command: "sleep 3"})
				}
				return many
			},
		},
		{
			name: "command", state: deploy.RolledBack, texts: []string{"the health check command failed after 2 tries: no ink; ********", "back on generation 1"},
			checks: func(string) checks {
				return checks{"command": quick(flake.HealthCheck{Command: "echo no ink >&2; cat /var/lib/sops-nix/key.txt >&2; exit 3", Attempts: 2})}
			},
		},
		{
			name: "status", second: system{after: serve}, state: deploy.RolledBack, texts: []string{"the health check web failed after 1 try: GET http://127.0.0.1:8080/none: 404 Not Found"},
			checks: func(string) checks {
				return checks{"web": quick(flake.HealthCheck{HTTP: "http://127.0.0.1:8080/none"})}
			},
		},
		{
			name: "content", second: system{after: serve}, state: deploy.RolledBack, texts: []string{`the answer does not contain "on fire"`},
			checks: func(string) checks {
				return checks{"web": quick(flake.HealthCheck{HTTP: "http://127.0.0.1:8080/health", Contains: "on fire"})}
			},
		},
		{
			name: "port", state: deploy.RolledBack, texts: []string{"the health check port failed after 1 try: connect from port to 127.0.0.1:8080: connection refused"},
			checks: func(string) checks { return checks{"port": quick(flake.HealthCheck{TCP: "127.0.0.1:8080"})} },
		},
		{
			name: "hangs", state: deploy.RolledBack, texts: []string{"the health check command failed after 1 try: no answer within 1 s"},
			checks: func(string) checks {
				return checks{"command": {Command: "sleep 60", Attempts: 1, Timeout: 1}}
			},
		},
		{
			name: "units", full: true, state: deploy.RolledBack, texts: []string{"the health check units failed after 1 try: none.service is inactive"},
			checks: func(string) checks {
				return checks{"units": quick(flake.HealthCheck{Units: []string{"ssh.service", "none.service"}}), "good": quick(flake.HealthCheck{Units: []string{"ssh.service"}})}
			},
		},
		{
			name: "warn", full: true, second: system{after: "/usr/bin/systemd-run --quiet --unit=new /bin/false; sleep 0.5; exit 4"},
			health: flake.Health{FailedUnits: "warn"}, state: deploy.Done, texts: []string{"units failed: new.service"},
		},
		{
			name: "ignored", full: true, second: system{after: "/usr/bin/systemd-run --quiet --unit=acme-x /bin/false; sleep 0.5; exit 4"},
			health: flake.Health{IgnoredUnits: []string{"acme-*"}}, state: deploy.Done, texts: []string{"units failed: acme-x.service"},
		},
	}
	var lights, fulls []testhost.Options
	systems := map[string]system{}
	for _, c := range cases {
		if c.full {
			fulls = append(fulls, testhost.Options{Name: c.name})
		} else {
			lights = append(lights, testhost.Options{Name: c.name})
		}
		c.second.version = "2"
		systems[c.name+"-1"], systems[c.name+"-2"] = system{version: "1"}, c.second
	}
	byName := map[string]*testhost.Host{}
	for _, h := range slices.Concat(testhost.Lights(t, n, lights...), testhost.Fulls(t, n, fulls...)) {
		byName[h.Name] = h
	}
	x := newNix(t)
	for _, c := range cases {
		if !strings.Contains(c.second.after, serve) { // which goes on serving
			leavesNothing(t, x, byName[c.name])
		}
	}
	tops := flakeOf(t, x, systems)
	var summary *deploy.Summary
	for _, version := range []string{"1", "2"} {
		var machines []deploy.Machine
		for _, c := range cases {
			m := machine(c.name, flake.NixOS, "ssh://"+c.name, tops[c.name+"-"+version])
			if version == "2" {
				health := c.health
				if c.checks != nil {
					health.Checks = c.checks(byName[c.name].IP.String())
				}
				m.Details.Health = &health
			}
			machines = append(machines, m)
		}
		summary = newDeployer(t, sshOptions(x, &recorder{}, n)).Update(t.Context(), machines)
		if count := summary.Count(deploy.Done); version == "1" && count != len(cases) {
			t.Fatalf("the first systems: %s: %v", summary.Text(), summary.Err())
		}
	}
	for _, c := range cases {
		wantState(t, summary, c.name, c.state, c.texts...)
		want := 1
		if c.state == deploy.Done {
			want = 2
		}
		if got := on(t, byName[c.name], "readlink", "/nix/var/nix/profiles/system", "/run/current-system"); got != fmt.Sprintf("system-%d-link\n%s", want, tops[fmt.Sprint(c.name, "-", want)].OutPath) {
			t.Errorf("%s is at %s", c.name, got)
		}
	}
}
