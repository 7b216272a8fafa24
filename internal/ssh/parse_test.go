package ssh

import (
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseTarget(t *testing.T) {
	t.Parallel()
	good := map[string]Target{
		"cinnabar":                   {Host: "cinnabar"},
		"ssh://cinnabar":             {Host: "cinnabar"},
		"ssh://cinnabar/":            {Host: "cinnabar"},
		"root@cinnabar":              {User: "root", Host: "cinnabar"},
		"ssh://root@cinnabar:2222":   {User: "root", Host: "cinnabar", Port: 2222},
		"cinnabar.example.org:22":    {Host: "cinnabar.example.org", Port: 22},
		"a_b-c.:1":                   {Host: "a_b-c.", Port: 1},
		"10.0.0.1:65535":             {Host: "10.0.0.1", Port: 65535},
		"[fd00::1]":                  {Host: "fd00::1"},
		"fd00::1":                    {Host: "fd00::1"},
		"root@fd00::1":               {User: "root", Host: "fd00::1"},
		"root@[fd00::1]:22":          {User: "root", Host: "fd00::1", Port: 22},
		"ssh://[fe80::1%eth0]:22":    {Host: "fe80::1%eth0", Port: 22},
		"first.last@corp.de@bastion": {User: "first.last@corp.de", Host: "bastion"},

		"root@cinnabar?ProxyJump=bastion":              {User: "root", Host: "cinnabar", Jump: "bastion"},
		"ssh://[fd00::1]:22/?proxyjump=me@a:1,ssh://b": {Host: "fd00::1", Port: 22, Jump: "me@a:1,b"},
		"cinnabar?ProxyJump=[fd00::2]:1":               {Host: "cinnabar", Jump: "[fd00::2]:1"},
		"cinnabar?ProxyJump=none":                      {Host: "cinnabar", Jump: "none"},
	}
	for text, want := range good {
		if got, err := ParseTarget(text); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	bad := map[string]string{
		"":                        "the host is not valid",
		"ssh://":                  "the host is not valid",
		"@host":                   "the user is not valid",
		"-oProxyCommand=x":        "the host is not valid",
		"-l@host":                 "the user is not valid",
		"root:secret@host":        "passwords",
		"host:":                   "the port is not",
		"host:0":                  "the port is not",
		"host:65536":              "the port is not",
		"host:+22":                "the port is not",
		"host:22/path":            "the port is not",
		"host/path":               "the host is not valid",
		"ho st":                   "the host is not valid",
		"a;b":                     "the host is not valid",
		"[host]":                  "not an IPv6 address",
		"[fd00::1]22":             "the host is not valid",
		"[fd00::1":                "the host is not valid",
		"::%$(id)":                "the host is not valid",
		"http://host":             `unknown scheme "http"`,
		"ssh-ng://host":           `unknown scheme "ssh-ng"`,
		"host\nProxyCommand evil": "the host is not valid",

		"host?":                         "only ProxyJump=HOST",
		"host?ProxyJump=":               "only ProxyJump=HOST",
		"host?ProxyJump=a?ProxyJump=b":  "only ProxyJump=HOST",
		"host?ProxyCommand=evil":        "only ProxyJump=HOST",
		"host?ProxyJump=a&User=b":       "the host is not valid",
		"host?ProxyJump=-oProxyCommand": "the host is not valid",
		"host?ProxyJump=a,,b":           "the host is not valid",
		"host?ProxyJump=$(id)":          "the host is not valid",
	}
	for text, says := range bad {
		if got, err := ParseTarget(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %+v, %v, want %q", text, got, err, says)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{"ssh://root@cinnabar:22", "[fd00::1]:22", "u@fe80::1%e", "a?ProxyJump=b,u@[::1]:2", "a:b", "::", "[]", "@"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		target, err := ParseTarget(text)
		if err != nil {
			return
		}
		again, err := ParseTarget(target.String())
		if err != nil || again != target {
			t.Errorf("%q: %+v becomes %q: %+v, %v", text, target, target, again, err)
		}
		if strings.HasPrefix(target.Host, "-") || strings.HasPrefix(target.User, "-") || strings.ContainsAny(target.Host+target.User+target.Jump, " \n'\"`$;|&\\") {
			t.Errorf("%q: dangerous: %+v", text, target)
		}
	})
}

func TestParseSettings(t *testing.T) {
	t.Parallel()
	got, err := parseSettings(strings.Join([]string{
		"host galena", "user me", "hostname 10.0.0.7", "port 2222", "addressfamily inet6", "identitiesonly yes",
		"identityfile ~/.ssh/a b", "identityfile none", "identityfile %d/.ssh/%h_%r_%%", "identityagent ~/Library/Group Containers/agent.sock",
		"userknownhostsfile ~/.ssh/known_hosts /k2", "globalknownhostsfile none", "hostkeyalias other", "connecttimeout 3", "proxyjump none", "loglevel INFO",
	}, "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	got.expand(Config{Target: Target{Host: "galena"}, Env: []string{"HOME=/wrong", "HOME=/home/me"}, IdentityFiles: []string{"/given"}})
	want := settings{
		host: "10.0.0.7", user: "me", port: 2222, network: "tcp6", identitiesOnly: true, hostKeyAlias: "other", connectTimeout: 3 * time.Second,
		identityFiles:  []string{"/given", "/home/me/.ssh/a b", "/home/me/.ssh/10.0.0.7_me_%"},
		identityAgent:  "/home/me/Library/Group Containers/agent.sock",
		userKnownHosts: []string{"/home/me/.ssh/known_hosts", "/k2"}, globalKnownHosts: []string{"none"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, bad := range []string{"", "port 22", "hostname a\nuser b\nport x", "hostname a\nuser b\nport 0", "hostname a\nuser b\nport 22\nconnecttimeout soon"} {
		if got, err := parseSettings(bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func FuzzParseSettings(f *testing.F) {
	f.Add("hostname a\nuser b\nport 22\nidentityagent ${X\nidentityfile ~/%")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSettings(text)
		if err != nil {
			return
		}
		s.expand(Config{})
		if s.host == "" || s.user == "" || s.port < 1 || s.port > 65535 || s.connectTimeout < 0 || !strings.HasPrefix(s.network, "tcp") {
			t.Errorf("%q: %+v", text, s)
		}
	})
}

func FuzzCommandLine(f *testing.F) {
	for _, seed := range []string{"", "a b", "it's", `\`, `\'`, "$x`y`!", "\n\n", "*?[", "\xff", "''", "~", "#"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		line, err := commandLine([]string{"printf", "%s\n.", a, b})
		if strings.Contains(a+b, "\x00") {
			if err == nil {
				t.Error("a NUL byte was accepted")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("/bin/sh", "-c", line).Output()
		if err != nil || string(out) != a+"\n."+b+"\n." {
			t.Errorf("%q and %q: %s gives %q, %v", a, b, line, out, err)
		}
	})
}

func TestDisplay(t *testing.T) {
	t.Parallel()
	if got := display([]string{"sh", "-c", "a\n\tb " + strings.Repeat("ü", 200)}); len([]rune(got)) != 102 || !strings.HasPrefix(got, "`sh -c a b ü") {
		t.Errorf("got %s", got)
	}
}
