package ssh

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/crs58/fleet/internal/environ"
)

// settings is what OpenSSH would use for a host, as far as we need it.
type settings struct {
	host, user       string
	port             int
	network          string // tcp, tcp4, tcp6
	hostKeyAlias     string
	identityFiles    []string
	certificateFiles []string
	identitiesOnly   bool
	identityAgent    string // empty: SSH_AUTH_SOCK
	userKnownHosts   []string
	globalKnownHosts []string
	revokedHostKeys  string
	proxyJump        string
	proxyCommand     string
	connectTimeout   time.Duration
	unsupported      string // the first setting that we cannot honour
}

// address is host and port as for net.Dial.
func (s settings) address() string { return net.JoinHostPort(s.host, strconv.Itoa(s.port)) }

// resolve finds the settings for the target: from `ssh -G` where OpenSSH is
// installed, else OpenSSH's defaults.
func resolve(ctx context.Context, cfg Config) (settings, error) {
	program, err := environ.LookPath(cfg.getenv("PATH"), "ssh")
	if err != nil {
		if cfg.File != "" {
			return settings{}, fmt.Errorf("read %s: the ssh program is not in PATH; install OpenSSH's client", cfg.File)
		}
		return defaults(cfg)
	}
	out, err := askOpenSSH(ctx, program, cfg)
	if err != nil {
		return settings{}, fmt.Errorf("read the OpenSSH configuration for %s: %w", cfg.Target.Host, err)
	}
	s, err := parseSettings(out)
	if err != nil {
		return settings{}, fmt.Errorf("read the OpenSSH configuration for %s: %w", cfg.Target.Host, err)
	}
	if s.unsupported != "" {
		return settings{}, fmt.Errorf("the OpenSSH configuration for %s has %q, which is not supported yet; name an address that can be reached without it, or see `ssh -G %s`",
			cfg.Target.Host, s.unsupported, cfg.Target.Host)
	}
	s.expand(cfg)
	return s, nil
}

// askOpenSSH runs ssh -G, which also runs the programs of `Match exec`: they end
// with it.
func askOpenSSH(ctx context.Context, program string, cfg Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	args := []string{"-G"}
	if cfg.File != "" {
		args = append(args, "-F", cfg.File)
	}
	if cfg.Target.User != "" {
		args = append(args, "-l", cfg.Target.User)
	}
	if cfg.Target.Port != 0 {
		args = append(args, "-p", strconv.Itoa(cfg.Target.Port))
	}
	cmd := exec.CommandContext(ctx, program, append(args, "--", cfg.Target.Host)...)
	var out, stderr bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = append([]string{}, cfg.Env...), &out, &stderr, time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("ssh -G: %w", ctx.Err())
		}
		return "", fmt.Errorf("ssh -G: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return out.String(), nil
}

// parseSettings reads what `ssh -G` prints: a keyword and its value per line.
func parseSettings(out string) (settings, error) {
	s := settings{network: "tcp"}
	passes := false // ProxyCommand would hand us a socket
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		none := value == "" || value == "none"
		var err error
		switch strings.ToLower(key) {
		case "hostname":
			s.host = value
		case "user":
			s.user = value
		case "port":
			s.port, err = strconv.Atoi(value)
		case "addressfamily":
			s.network = map[string]string{"inet": "tcp4", "inet6": "tcp6"}[value]
			s.network = cmp.Or(s.network, "tcp")
		case "hostkeyalias":
			s.hostKeyAlias = value
		case "identityfile":
			if !none {
				s.identityFiles = append(s.identityFiles, value)
			}
		case "certificatefile":
			if !none {
				s.certificateFiles = append(s.certificateFiles, value)
			}
		case "identitiesonly":
			s.identitiesOnly = value == "yes" || value == "true"
		case "identityagent":
			s.identityAgent = value
		case "userknownhostsfile":
			s.userKnownHosts = strings.Fields(value)
		case "globalknownhostsfile":
			s.globalKnownHosts = strings.Fields(value)
		case "revokedhostkeys":
			if !none {
				s.revokedHostKeys = value
			}
		case "connecttimeout":
			if !none {
				var seconds int
				seconds, err = strconv.Atoi(value)
				s.connectTimeout = time.Duration(seconds) * time.Second
			}
		case "proxyjump":
			if !none {
				s.proxyJump = value
			}
		case "proxycommand":
			if !none {
				s.proxyCommand = value
			}
		case "proxyusefdpass":
			passes = value == "yes"
		case "bindaddress":
			s.unsupported = "BindAddress"
		case "bindinterface":
			s.unsupported = "BindInterface"
		}
		if err != nil {
			return settings{}, fmt.Errorf("ssh -G says %q: %w", strings.TrimSpace(line), err)
		}
	}
	if passes && s.proxyCommand != "" {
		s.unsupported = "ProxyUseFdpass"
	}
	if s.host == "" || s.user == "" || s.port < 1 || s.port > 65535 || s.connectTimeout < 0 {
		return settings{}, errors.New("ssh -G gave no usable host name, user, port or timeout")
	}
	return s, nil
}

// defaults are OpenSSH's own where there is no OpenSSH.
func defaults(cfg Config) (settings, error) {
	s := settings{
		host: cfg.Target.Host, user: cmp.Or(cfg.Target.User, cfg.getenv("USER")), port: cmp.Or(cfg.Target.Port, 22), network: "tcp",
		identityFiles:    []string{"~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"},
		userKnownHosts:   []string{"~/.ssh/known_hosts"},
		globalKnownHosts: []string{"/etc/ssh/ssh_known_hosts"},
	}
	if s.user == "" {
		return settings{}, fmt.Errorf("no user for %s is known; write ssh://user@%s", s.host, s.host)
	}
	s.expand(cfg)
	return s, nil
}

// expand replaces what OpenSSH leaves to the moment of use: ~ and the tokens
// of ssh_config(5).
func (s *settings) expand(cfg Config) {
	home := cfg.getenv("HOME")
	tokens := strings.NewReplacer("%%", "%", "%d", home, "%h", s.host, "%n", cfg.Target.Host, "%r", s.user,
		"%p", strconv.Itoa(s.port), "%u", cfg.getenv("USER"), "%k", cmp.Or(s.hostKeyAlias, cfg.Target.Host))
	path := func(p string) string {
		if rest, ok := strings.CutPrefix(p, "~/"); ok {
			p = filepath.Join(home, rest)
		}
		return tokens.Replace(variable.ReplaceAllStringFunc(p, func(v string) string { return cfg.getenv(v[2 : len(v)-1]) }))
	}
	for _, list := range [][]string{s.identityFiles, s.certificateFiles, s.userKnownHosts, s.globalKnownHosts} {
		for i := range list {
			list[i] = path(list[i])
		}
	}
	s.revokedHostKeys = path(s.revokedHostKeys)
	s.proxyCommand = tokens.Replace(s.proxyCommand)
	s.identityFiles = append(append([]string{}, cfg.IdentityFiles...), s.identityFiles...)
	switch name, isVariable := strings.CutPrefix(s.identityAgent, "$"); {
	case s.identityAgent == "" || s.identityAgent == "SSH_AUTH_SOCK":
		s.identityAgent = cfg.getenv("SSH_AUTH_SOCK")
	case s.identityAgent == "none":
		s.identityAgent = ""
	case isVariable:
		s.identityAgent = cfg.getenv(strings.Trim(name, "{}"))
	default:
		s.identityAgent = path(s.identityAgent)
	}
}

// variable is a part of a path that stands for a variable of the environment.
var variable = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*\}`)
