package nix

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
)

// MinVersion is the oldest Nix that this program works with.
const MinVersion = "2.18"

// Options say how nix is started. Nothing is read from the environment of the
// process: what nix needs of it is in Env.
type Options struct {
	// Program is the nix program, a name to be found in the PATH of Env or a
	// path; empty is "nix".
	Program string
	// Env is the environment of the caller. nix gets what it needs of it.
	Env []string
	// Dir is the folder that relative references start from; empty is the
	// working folder of the process.
	Dir string
	// LogDir takes one file per process that prints anything; empty keeps none.
	LogDir string
	// AcceptFlakeConfig lets the nixConfig of flakes change Nix's settings.
	AcceptFlakeConfig bool
	// NoWriteLockFile keeps nix from writing flake.lock.
	NoWriteLockFile bool
	// ExtraArgs are passed to every nix command, such as "--option", "cores", "2".
	ExtraArgs []string
	// Sources maps copies of flakes in the store to the folders that they were
	// made from, so that positions in errors name the user's files. Local
	// flakes named in a request are recognised without it.
	Sources map[string]string
	// OnEvent is told what is not the answer to a request with its own OnEvent,
	// from several goroutines.
	OnEvent func(Event)
}

// CLI is the executor that runs the nix program. It may be used by several
// goroutines.
type CLI struct {
	opts Options
	env  []string

	mu      sync.Mutex
	program string // resolved
	version string // once it is known
}

var _ Executor = (*CLI)(nil)

// New makes an executor. It starts nothing and looks nothing up.
func New(opts Options) *CLI {
	if opts.Program == "" {
		opts.Program = "nix"
	}
	return &CLI{opts: opts, env: cleanEnv(opts.Env)}
}

// Eval runs nix eval. See Executor.
func (c *CLI) Eval(ctx context.Context, req EvalRequest, v any) error {
	// Nix's own evaluation cache keeps failures without their positions and
	// serialises processes; Cache does better for what is asked twice.
	args := []string{"eval", "--json", "--show-trace", "--option", "eval-cache", "false"}
	args = append(args, c.lockArgs()...)
	if req.Apply != "" {
		args = append(args, "--apply", req.Apply)
	}
	subject := req.Installable
	if req.Expr != "" {
		args = append(args, "--expr", req.Expr)
		subject = strings.TrimSpace("expression " + subject)
	}
	args = append(args, req.Args...)
	if req.Installable != "" {
		args = append(args, "--", req.Installable)
	}
	out, err := c.run(ctx, process{op: "eval", subject: subject, refs: []string{req.Installable}, args: args, onEvent: req.OnEvent})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, v); err != nil {
		return fmt.Errorf("nix eval %s: the value is not what was expected: %w", subject, err)
	}
	return nil
}

// Copy runs nix copy. See Executor.
func (c *CLI) Copy(ctx context.Context, req CopyRequest) error {
	if len(req.Paths) == 0 {
		return nil
	}
	args := []string{"copy"}
	if req.From != "" {
		args = append(args, "--from", req.From)
	}
	if req.To != "" {
		args = append(args, "--to", req.To)
	}
	if req.NoCheckSigs {
		args = append(args, "--no-check-sigs")
	}
	if req.SubstituteOnDestination {
		args = append(args, "--substitute-on-destination")
	}
	args = append(args, "--")
	args = append(args, req.Paths...)
	_, err := c.run(ctx, process{op: "copy", subject: shorten(req.Paths), args: args, onEvent: req.OnEvent})
	return err
}

// Metadata runs nix flake metadata. See Executor.
func (c *CLI) Metadata(ctx context.Context, ref string) (*Metadata, error) {
	args := append([]string{"flake", "metadata", "--json"}, c.lockArgs()...)
	args = append(args, "--", ref)
	out, err := c.run(ctx, process{op: "flake metadata", subject: ref, refs: []string{ref}, args: args})
	if err != nil {
		return nil, err
	}
	m, err := decodeMetadata(out)
	if err != nil {
		return nil, fmt.Errorf("nix flake metadata %s: reading its answer: %w", ref, err)
	}
	return m, nil
}

func decodeMetadata(data []byte) (*Metadata, error) {
	var m Metadata
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	var locked struct {
		NarHash  string `json:"narHash"`
		Rev      string `json:"rev"`
		DirtyRev string `json:"dirtyRev"`
	}
	if len(m.Locked) > 0 {
		if err := json.Unmarshal(m.Locked, &locked); err != nil {
			return nil, err
		}
	}
	m.NarHash = locked.NarHash
	if m.Revision == "" {
		m.Revision = locked.Rev
	}
	if m.DirtyRevision == "" {
		m.DirtyRevision = locked.DirtyRev
	}
	return &m, nil
}

// lockArgs are for the commands that may lock a flake.
func (c *CLI) lockArgs() []string {
	if c.opts.NoWriteLockFile {
		return []string{"--no-write-lock-file"}
	}
	return nil
}
