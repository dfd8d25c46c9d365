// A workload that speaks SPIFFE by go-spiffe: fetches and watches SVIDs, reads bundle endpoints, dials and serves mTLS.
// Every answer is one line of JSON, so that a test can read it without knowing Go.
package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

type arguments struct {
	socket, audience, token, url, trustDomain, serverID, bundle, roots, listen, body string
	updates                                                                          int
}

func main() {
	verbs := map[string]func(context.Context, arguments) error{
		"x509": fetch, "watch": watch, "jwt": jwt, "bundle": bundle, "get": get, "serve": serve,
	}
	if len(os.Args) < 2 || verbs[os.Args[1]] == nil {
		fail(fmt.Errorf("usage: go-spiffe x509|watch|jwt|bundle|get|serve [flags]"))
	}
	var a arguments
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&a.socket, "socket", "", "Workload API, unix:///PATH")
	flags.StringVar(&a.audience, "audience", "", "audience of a JWT-SVID")
	flags.StringVar(&a.token, "token", "", "a JWT-SVID to validate instead of fetching one")
	flags.StringVar(&a.url, "url", "", "what to read")
	flags.StringVar(&a.trustDomain, "trust-domain", "", "trust domain of a bundle endpoint")
	flags.StringVar(&a.serverID, "peer", "", "SPIFFE ID of the peer")
	flags.StringVar(&a.bundle, "bundle", "", "file with the bundle document that authenticates a https_spiffe endpoint")
	flags.StringVar(&a.roots, "roots", "", "PEM file that authenticates a https_web endpoint")
	flags.StringVar(&a.listen, "listen", "", "address to serve on")
	flags.StringVar(&a.body, "body", "go-spiffe", "what serve answers")
	flags.IntVar(&a.updates, "updates", 1, "how many updates to wait for")
	_ = flags.Parse(os.Args[2:])
	ctx, cancel := context.WithTimeout(context.Background(), 110*time.Second)
	defer cancel()
	if os.Args[1] == "serve" {
		ctx = context.Background()
	}
	if err := verbs[os.Args[1]](ctx, a); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func say(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		fail(err)
	}
	fmt.Println(string(line))
}

func (a arguments) api() workloadapi.ClientOption { return workloadapi.WithAddr(a.socket) }

type svid struct {
	ID       string    `json:"id"`
	Hint     string    `json:"hint"`
	Serial   string    `json:"serial"`
	NotAfter time.Time `json:"notAfter"`
	Chain    int       `json:"chain"`
}

type update struct {
	SVIDs   []svid              `json:"svids"`
	Bundles map[string][]string `json:"bundles"`
}

func describe(c *workloadapi.X509Context) update {
	u := update{SVIDs: []svid{}, Bundles: map[string][]string{}}
	for _, s := range c.SVIDs {
		leaf := s.Certificates[0]
		u.SVIDs = append(u.SVIDs, svid{s.ID.String(), s.Hint, hex.EncodeToString(leaf.SerialNumber.Bytes()), leaf.NotAfter, len(s.Certificates)})
	}
	for _, b := range c.Bundles.Bundles() {
		u.Bundles[b.TrustDomain().Name()] = prints(b.X509Authorities())
	}
	return u
}

func prints(authorities []*x509.Certificate) []string {
	hashes := []string{}
	for _, authority := range authorities {
		hash := sha256.Sum256(authority.Raw)
		hashes = append(hashes, hex.EncodeToString(hash[:]))
	}
	return hashes
}

func fetch(ctx context.Context, a arguments) error {
	c, err := workloadapi.FetchX509Context(ctx, a.api())
	if err != nil {
		return err
	}
	say(describe(c))
	return nil
}

type watcher struct {
	left int
	done context.CancelFunc
}

func (w *watcher) OnX509ContextUpdate(c *workloadapi.X509Context) {
	say(describe(c))
	if w.left--; w.left == 0 {
		w.done()
	}
}

func (w *watcher) OnX509ContextWatchError(err error) { say(map[string]string{"error": err.Error()}) }

func watch(ctx context.Context, a arguments) error {
	ctx, done := context.WithCancel(ctx)
	defer done()
	w := &watcher{a.updates, done}
	err := workloadapi.WatchX509Context(ctx, w, a.api())
	if w.left <= 0 {
		return nil
	}
	return err
}

// Fetches a JWT-SVID (or takes a given one) and validates it twice: by the server, and here by the JWT bundles.
func jwt(ctx context.Context, a arguments) error {
	token := a.token
	if token == "" {
		fetched, err := workloadapi.FetchJWTSVID(ctx, jwtsvid.Params{Audience: a.audience}, a.api())
		if err != nil {
			return fmt.Errorf("fetch: %w", err)
		}
		token = fetched.Marshal()
	}
	remote, err := workloadapi.ValidateJWTSVID(ctx, token, a.audience, a.api())
	if err != nil {
		return fmt.Errorf("validated by the server: %w", err)
	}
	bundles, err := workloadapi.FetchJWTBundles(ctx, a.api())
	if err != nil {
		return fmt.Errorf("bundles: %w", err)
	}
	local, err := jwtsvid.ParseAndValidate(token, bundles, []string{a.audience})
	if err != nil {
		return fmt.Errorf("validated here: %w", err)
	}
	say(map[string]any{"id": local.ID.String(), "server": remote.ID.String(), "audience": local.Audience, "expiry": local.Expiry, "token": token})
	return nil
}

func bundle(ctx context.Context, a arguments) error {
	domain, err := spiffeid.TrustDomainFromString(a.trustDomain)
	if err != nil {
		return err
	}
	option, err := a.authentication(domain)
	if err != nil {
		return err
	}
	b, err := federation.FetchBundle(ctx, domain, a.url, option)
	if err != nil {
		return err
	}
	sequence, _ := b.SequenceNumber()
	hint, _ := b.RefreshHint()
	say(map[string]any{
		"x509": prints(b.X509Authorities()), "jwt": len(b.JWTAuthorities()), "sequence": sequence, "refreshHint": hint.Seconds(),
	})
	return nil
}

func (a arguments) authentication(domain spiffeid.TrustDomain) (federation.FetchOption, error) {
	if a.roots != "" {
		pem, err := os.ReadFile(a.roots)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		return federation.WithWebPKIRoots(pool), nil
	}
	known, err := spiffebundle.Load(domain, a.bundle)
	if err != nil {
		return nil, err
	}
	id, err := spiffeid.FromString(a.serverID)
	if err != nil {
		return nil, err
	}
	return federation.WithSPIFFEAuth(known.X509Bundle(), id), nil
}

func (a arguments) authorizer() (tlsconfig.Authorizer, error) {
	ids := []spiffeid.ID{}
	for _, text := range strings.Split(a.serverID, ",") {
		id, err := spiffeid.FromString(text)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return tlsconfig.AuthorizeOneOf(ids...), nil
}

// One request over mTLS with the SVID of the Workload API.
func get(ctx context.Context, a arguments) error {
	source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(a.api()))
	if err != nil {
		return err
	}
	defer source.Close()
	authorizer, err := a.authorizer()
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{
		TLSClientConfig: tlsconfig.MTLSClientConfig(source, source, authorizer), ForceAttemptHTTP2: true,
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	say(map[string]any{"status": response.StatusCode, "protocol": response.Proto, "body": string(body)})
	return nil
}

// An HTTPS server that takes only the named peers and answers with who called.
func serve(ctx context.Context, a arguments) error {
	source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(a.api()))
	if err != nil {
		return err
	}
	defer source.Close()
	authorizer, err := a.authorizer()
	if err != nil {
		return err
	}
	server := http.Server{
		Addr:      a.listen,
		TLSConfig: tlsconfig.MTLSServerConfig(source, source, authorizer),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			peer := ""
			if uris := r.TLS.PeerCertificates[0].URIs; len(uris) == 1 {
				peer = uris[0].String()
			}
			_ = json.NewEncoder(w).Encode(map[string]any{
				"workload": a.body, "peer": peer, "protocol": r.Proto, "headers": r.Header,
				"serverName": r.TLS.ServerName, "alpn": r.TLS.NegotiatedProtocol,
			})
		}),
	}
	return server.ListenAndServeTLS("", "")
}
