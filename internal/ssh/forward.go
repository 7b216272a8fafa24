package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/crypto/ssh"
)

// DialContext connects, from the host, to an address that the host can reach.
// Network is tcp, tcp4 or tcp6.
func (c *Conn) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.client.DialContext(ctx, network, address)
	var refused *ssh.OpenChannelError
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("connect from %s to %s: %w", c.host, address, context.Cause(ctx))
	case errors.As(err, &refused) && refused.Reason == ssh.Prohibited:
		return nil, fmt.Errorf("%s lets nobody connect through it; see AllowTcpForwarding in its sshd_config", c.host)
	case errors.As(err, &refused):
		return nil, fmt.Errorf("connect from %s to %s: %w: %s", c.host, address, ErrRefused, refused.Message)
	}
	select {
	case <-c.done:
		return nil, c.why(ErrConnectionLost)
	default:
		return nil, fmt.Errorf("connect from %s to %s: %w", c.host, address, err)
	}
}
