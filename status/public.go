package status

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// addressError says that a destination is not public.
type addressError struct{ address string }

// Error names the address.
func (e *addressError) Error() string {
	return fmt.Sprintf("%s is not a public address: webhooks are not sent there", e.address)
}

// publicTransport connects to public addresses only. It looks at the address to
// which it is about to connect, after the name was resolved, so that no name can
// point inside; and it asks no proxy, which would resolve it anew.
func publicTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		return checkPublic(address)
	}}
	return &http.Transport{
		DialContext: dialer.DialContext, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 20 * time.Second,
		MaxIdleConns: 100, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
	}
}

// notPublic are networks beside those that netip knows: shared address space,
// protocol assignments, documentation, benchmarks, reserved, and those in which
// IPv4 addresses hide.
var notPublic = func() []netip.Prefix {
	var list []netip.Prefix
	for _, text := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "240.0.0.0/4", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16",
	} {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}()

// checkPublic refuses an address that is not public.
func checkPublic(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return &addressError{address}
	}
	ip := at.Addr().Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return &addressError{ip.String()}
	}
	for _, network := range notPublic {
		if network.Contains(ip) {
			return &addressError{ip.String()}
		}
	}
	return nil
}
