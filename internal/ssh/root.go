package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// elevation is how a command becomes root's. The zero value is for a login as
// root, who needs nothing.
type elevation struct {
	command  []string // goes before a command; empty where root logged in
	password string   // what command reads first from its input; empty: nothing
}

// rootTimeout bounds each question to a host's sudo, which may itself ask a
// directory server.
const rootTimeout = 30 * time.Second

// findRoot prints the way to root: "root", or "free" or "asks" and the program.
// What has been answered on that host before does not count: it may expire.
const findRoot = `if [ "$(id -u)" = 0 ]; then echo root; exit; fi
PATH=$PATH:/run/wrappers/bin:/usr/local/bin:/usr/bin:/bin
sudo=$(command -v sudo) && "$sudo" -k -n true </dev/null >/dev/null 2>&1 && { echo "free $sudo"; exit; }
doas=$(command -v doas) && "$doas" -n true </dev/null >/dev/null 2>&1 && { echo "free $doas"; exit; }
if [ "$sudo" ]; then echo "asks $sudo"; elif [ "$doas" ]; then echo "asks $doas"; fi
`

// passTo takes the password and the line after it out of its input if sudo left
// them there, because it did not ask this time, and becomes the command.
const passTo = `while IFS= read -r line; do [ "$line" != '` + inputFollows + `' ] || exec "$@"; done
echo 'the connection ended before the command began' >&2
exit 1
`

// inputFollows stands between the password and the command's own input.
const inputFollows = "fleet: input follows"

// AsRoot gives the same connection as root: every command, file and Nix daemon
// of the result is root's. Where root did not log in itself, each becomes so by
// sudo or doas; a password that sudo wants is asked for through the [Dialer],
// once for all hosts, and reaches it by its input only. The error wraps
// [ErrNotRoot] where the user cannot become root.
//
// The wait for somebody to type the password ends with ctx; a ctx with a
// deadline should leave them time.
func (c *Conn) AsRoot(ctx context.Context) (*Conn, error) {
	if err := c.rootOnce.take(ctx); err != nil {
		return nil, fmt.Errorf("become root on %s: %w", c.host, err)
	}
	defer c.rootOnce.give()
	if c.root == nil {
		found, err := c.findRoot(ctx)
		if err != nil {
			return nil, fmt.Errorf("become root on %s: %w", c.host, err)
		}
		c.root = found
	}
	return &Conn{connection: c.connection, as: c.root}, nil
}

func (c *Conn) findRoot(ctx context.Context) (*elevation, error) {
	if c.user == "root" {
		return &elevation{}, nil
	}
	asUser := &Conn{connection: c.connection}
	looking, cancel := context.WithTimeout(ctx, rootTimeout)
	defer cancel()
	out, err := asUser.output(looking, Command{Title: "look for sudo", Args: []string{"sh", "-c", findRoot}})
	if err != nil {
		return nil, err
	}
	kind, program, _ := strings.Cut(lastLine(out), " ")
	isSudo := strings.HasSuffix(program, "/sudo")
	switch {
	case kind == "root":
		return &elevation{}, nil
	case kind == "free" && isSudo:
		return &elevation{command: []string{program, "-n", "-H", "--"}}, nil
	case kind == "free":
		return &elevation{command: []string{program, "-n", "--"}}, nil
	case kind == "asks" && isSudo:
		return c.unlockSudo(ctx, program)
	case kind == "asks":
		return nil, fmt.Errorf("%w: doas lets %s become root only with a password at a terminal; write `permit nopass %s` into doas.conf there, or root@ into the machine's address", ErrNotRoot, c.user, c.user)
	default:
		return nil, fmt.Errorf("%w: %s is not root there, and there is neither sudo nor doas; write root@ into the machine's address", ErrNotRoot, c.user)
	}
}

// unlockSudo finds the password that sudo accepts.
func (c *Conn) unlockSudo(ctx context.Context, sudo string) (*elevation, error) {
	question := fmt.Sprintf("password of %s for sudo, on %s and other hosts of this run that ask for it", c.user, c.host)
	password, err := c.dialer.sudo.unlock(ctx, question, c.dialer.ask, func(password string) error { return c.trySudo(ctx, sudo, password) })
	switch {
	case errors.Is(err, errNobodyToAsk):
		return nil, fmt.Errorf("%w: sudo asks %s for a password and there is no terminal to type it at; let sudo go without one (NixOS: security.sudo.wheelNeedsPassword = false), or write root@ into the machine's address", ErrNotRoot, c.user)
	case err != nil:
		return nil, err
	}
	return &elevation{command: []string{sudo, "-S", "-p", "", "-H", "--", "sh", "-c", passTo, "fleet"}, password: password}, nil
}

// trySudo gives errWrongPassword where sudo rejects the password. It is known by
// a second prompt, whatever language sudo speaks.
func (c *Conn) trySudo(ctx context.Context, sudo, password string) error {
	const prompt = "fleet asks for the password."
	ctx, cancel := context.WithTimeout(ctx, rootTimeout)
	defer cancel()
	err := (&Conn{connection: c.connection}).Run(ctx, Command{
		Title: "sudo",
		Args:  []string{"env", "LC_ALL=C", sudo, "-k", "-S", "-p", prompt, "--", "true"},
		Stdin: strings.NewReader(password + "\n"),
	})
	var exit *ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if strings.Count(exit.Stderr, prompt) > 1 || strings.Contains(exit.Stderr, "incorrect") {
		return fmt.Errorf("%w: sudo on %s does not accept the password of %s", errWrongPassword, c.host, c.user)
	}
	said := strings.TrimSpace(strings.ReplaceAll(exit.Stderr, prompt, ""))
	return fmt.Errorf("%w: sudo does not let %s: %s; mend that there, or write root@ into the machine's address", ErrNotRoot, c.user, lastLine(said))
}

// wrap gives the arguments and the input of a command on this face of the
// connection. The prefix goes before the input that the command itself is for.
func (c *Conn) wrap(args []string) (wrapped []string, prefix io.Reader) {
	if c.as == nil || len(c.as.command) == 0 || len(args) == 0 {
		return args, nil
	}
	wrapped = append(c.as.command[:len(c.as.command):len(c.as.command)], args...)
	if c.as.password != "" {
		prefix = strings.NewReader(c.as.password + "\n" + inputFollows + "\n")
	}
	return wrapped, prefix
}
