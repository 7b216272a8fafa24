package ssh

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"path"
	"strconv"
)

// writeFile takes path, mode and size, and the content on stdin. A connection
// that breaks looks like the end of the content: the size tells.
const writeFile = `set -eu
umask 077
if [ -d "$1" ]; then echo "$1 is a directory" >&2; exit 1; fi
tmp=$(mktemp "${1%/*}/.fleet.XXXXXXXX")
trap 'rm -f "$tmp"' EXIT
trap 'exit 1' HUP INT PIPE TERM
cat >"$tmp"
size=$(wc -c <"$tmp")
if [ "$size" -ne "$3" ]; then echo "only $size of $3 bytes arrived" >&2; exit 1; fi
chmod "$2" "$tmp"
sync "$tmp" 2>/dev/null || sync
mv -f "$tmp" "$1"
`

// WriteFile puts a file on the host, all of it or nothing: it is complete, and
// has its mode, before it takes the place of an older one. Its folder must exist.
func (c *Conn) WriteFile(ctx context.Context, name string, mode fs.FileMode, content []byte) error {
	if !path.IsAbs(name) || path.Clean(name) != name {
		return fmt.Errorf("write %q on %s: not a clean absolute path", name, c.host)
	}
	return c.Run(ctx, Command{
		title: "write " + name,
		Args:  []string{"sh", "-c", writeFile, "write-file", name, strconv.FormatUint(uint64(mode.Perm()), 8), strconv.Itoa(len(content))},
		Stdin: bytes.NewReader(content),
	})
}
