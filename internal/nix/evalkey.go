package nix

import "context"

// EvalKey is what the value of any expression over the flake in dir depends
// on: the flake's content, the nix program and its settings here, the
// platform. It costs one process of git.
//
// Values that this program writes change it like every edit. Nothing less than
// the whole folder would do: a flake sees its hash and revision (self.narHash,
// self.rev) and any file (readFile, readDir, pathExists), what exists decides
// what generators say, and Nix keeps no record of what was looked at.
func (c *CLI) EvalKey(ctx context.Context, dir string) (string, error) {
	identity, err := c.Identity()
	if err != nil {
		return "", err
	}
	fingerprint, err := c.Fingerprint(ctx, dir)
	if err != nil {
		return "", err
	}
	return Key(fingerprint, identity), nil
}
