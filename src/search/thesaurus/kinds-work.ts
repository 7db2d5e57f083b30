// Kinds of working life, software and agent work with their members.
export const KINDS_WORK: string = `
occupation profession career > teacher doctor nurse engineer geologist lawyer carpenter baker chef pilot sailor painter driver librarian journalist architect electrician plumber farmer musician photographer accountant programmer designer analyst secretary vet scientist
superior leader management > boss manager director head ceo cto lead chief
staff employee personnel > developer engineer designer assistant intern analyst tester secretary accountant
specialist professional expert > lawyer accountant consultant auditor surveyor architect engineer doctor notary adviser
employer organisation institution > company firm school hospital university agency bank ministry charity
remuneration compensation > salary wage bonus pay shares options
benefit perk > leave bonus car gym lunch pension bike training stock hours
working hours arrangement > shift parttime flexitime remote four days weekend night overtime home
absence > holiday leave sick maternity vacation sabbatical
employment document paper > contract certificate reference cv letter notice
appointment engagement > meeting interview call dentist doctor lunch workshop review demo
business event > fair conference workshop meeting demo summit kickoff offsite
customer contact lead prospect > card visitor enquiry client
office equipment > printer desk chair screen scanner projector whiteboard keyboard flipchart phone
visual aid > slides projector flipchart whiteboard poster
business partner > supplier client customer vendor distributor
vendor supplier provider > amazon google microsoft stripe twilio aws azure
payment provider > stripe paypal adyen klarna
goods product > sensor machine furniture software part book tool
component part > sensor pump motor chip screen battery valve cable wheel board
material supply > steel paper wood ink
place of work > office desk home lab workshop factory
company change restructuring > merger layoff takeover closure relocation reorganisation
legal form > gmbh ltd inc plc llc
contract term clause > deadline penalty notice price exclusivity warranty liability
business figure metric > revenue profit margin turnover churn growth loss conversion
market > europe america asia germany brazil
release deliverable > version build patch update hotfix
software program tool > excel slack photoshop jira notion figma word outlook git docker zoom confluence trello
application program > editor browser client server calendar
service component module > gateway proxy database queue api backend frontend worker scheduler parser importer exporter crawler checkout billing login search
storage store > s3 disk bucket nas ssd database postgres redis
code quality tool linter > eslint prettier ruff black oxlint mypy pylint
type checker > tsc mypy pyright flow
test runner framework > vitest jest mocha pytest junit playwright cypress
package manager > npm pnpm yarn pip cargo poetry uv
version control > git svn mercurial
build tool > webpack vite make esbuild rollup gradle maven bazel
programming language > rust python go java typescript javascript c ruby kotlin swift php scala
runtime > node python jvm deno bun browser
data store > postgres mysql redis mongodb sqlite kafka s3
message broker queue > kafka rabbitmq nats sqs redis
cloud host provider > aws azure gcp hetzner heroku vercel
container orchestrator > docker kubernetes nomad podman
operating system platform > linux macos windows debian ubuntu alpine android ios
protocol > http tcp udp ssh ftp smtp websocket grpc mqtt ipv6 tls
credential secret > key password token certificate secret passphrase
authentication method > password token otp oauth saml passkey certificate
vulnerability weakness > injection xss leak overflow cve bypass traversal
security incident > breach leak phishing hack theft ransomware
error failure > exception timeout crash 404 500 panic segfault null oom overflow refused denied
bug defect > leak race deadlock crash duplicate rounding overflow regression typo encoding timezone
cause > expired missing wrong full lack locale timeout leak race typo config clock timezone encoding cache index disk certificate
performance problem > slow latency leak timeout index memory load spike
resource > memory cpu disk bandwidth cores threads
hardware component > cpu gpu ram disk ssd fan board core drive screen
peripheral device > printer keyboard mouse monitor headset camera scanner projector
mobile device > phone tablet smartphone iphone android
file format > csv json xml yaml pdf parquet excel zip
data format type > date number decimal string float timestamp
separator delimiter > comma semicolon tab pipe dot
unit > seconds minutes milliseconds bytes megabytes gigabytes percent
configuration setting parameter > timeout port limit retries interval flag path size level threshold
environment stage > production staging test dev preprod sandbox
deployment strategy > canary rollback blue green gradual
schedule job > nightly hourly cron weekly
backup copy > dump snapshot replica archive
documentation > readme wiki guide manual changelog comment adr
ui element control widget > button menu dialog form field icon link table tab checkbox dropdown slider banner
look appearance design > colour font corner button logo theme layout dark
chart diagram > graph table plot
project document > spec roadmap ticket plan proposal budget report
communication channel > email slack phone chat teams letter
meeting > standup retro planning review kickoff demo quarterly sync
team department unit > engineering marketing sales legal finance support design security data hr operations
role > owner lead reviewer tester developer admin maintainer
decision option > postgres kafka rust aws docker
restriction policy ban rule > never forbidden only must friday allowed
code convention style > tabs spaces quotes semicolons camelcase snake naming indent
naming > name prefix suffix camelcase
quality assurance check > test review audit lint
constraint limitation > limit budget deadline quota maximum memory
threshold limit > maximum cap quota percent seconds
identifier > id uuid name key number slug
personal data > name address email phone birthday patient
customer complaint > slow crash wrong late missing broken
measure remedy action > rotate revoke patch restart rollback upgrade disable block
`;
