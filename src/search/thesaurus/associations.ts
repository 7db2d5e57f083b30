// What a general word of a question is often answered with: `word ... > word ...`, looser than a kind.
export const ASSOCIATIONS: string = `
punish punishment > fine ban ticket prison licence foot points detention
speeding fast > flashed zone radar camera licence
vehicle > skoda volkswagen toyota ford bmw audi renault fiat volvo tesla honda
airline > suitcase flight seat gate luggage
lost missing > found gone turn search
recover regain > found back returned brought
mend repair > fix patch replace new
wage pay rate > hour euro eighteen twenty percent
domestic help > cleaner vacuum ironing
operator company > phone code
laundry > dry hang wash courtyard iron
flood flooding > water drain pipe rain cellar burst
roof > tile storm gutter leak
theft stolen > lock police camera insurer
claim > insurer policy pay damage
turned rejected > refused denied declined
hearing > aid ear deaf
surgery operation > knife scalpel hospital out removed
tooth oral dental mouth > wisdom filling crown molar out
hay fever > birch grass pollen sneeze spray
fracture > broke sling cast plaster
treatment treated > tablet drops cream rest iron
headache migraine > wine sleep cheese stress light
hypertension > pressure salt
lab laboratory > blood iron sample value
vaccination > shot dose due second
pregnancy newborn > kilos girl boy named
elderly > grandma grandpa
dough sourdough > starter rye feed
server waiter > restaurant table
dine > ate restaurant place table
eat > touch allergic vegan meat
avoid > without never no touch
walkout > strike trains
railway > train
punctual > clock
document > paper office
baggage > suitcase wheel
underground > cave tunnel metro cellar mine
guide showed > tour cave museum
peak summit > cloud turn metres
bring back > return
lodging > room desk key gate
finance owe > lent borrow pay
borrowed > lent copy still
press > newspaper edition saturday
revenue tax > return due
salary > percent raise asked
candidate > offer days week interview
workplace > desk floor home
manager superior > boss
anniversary > fiftieth birthday years
probe > sensor
lead > card contact
query > index report orders seconds
spec test > fails runs flaky
upgrade > stay version ships until
release > live deploy friday
leak > pushed public key
abuse abused > calls used
logging > print log
clickable > button link
copy backup > dump nightly box kept
verify verifies > test checks
spreadsheet > file csv comma
throttle > minute calls limit
port > rewrite redo
remote connection > vpn tunnel ssh
theatre > play stage
dissertation > thesis
football game > lost won goal scored
result > won lost ended against
cinema > film seats
astronomy > telescope reflector inch
boat > kayak canoe crack
laid rest > buried grave under
traffic warden > ticket fined parking
renewable > wind solar turbine
thieves > took stole came window
bid > quote offer wants
pane > window glass
client > signed customer
music class > lesson piano
vocal ensemble > choir singers
outdoor > garden park
landlord > rent deposit flat lease heating
tenant > rent flat lease
accident > crash fell broke injured car
insurance > claim damage pays covers premium
marriage wedding > bride groom church castle date
birthday > turns cake years party
illness > fever hospital doctor bed
doctor > prescribed said tablets check
hospital > ward surgery visit bed nurse
diagnosis > torn broken strained infection
medicine > tablets drops twice daily
holiday > beach flight hotel booked week
journey > train flight car hours
flight > lands gate delayed terminal
hotel > room night desk breakfast
ticket > seat bought row price
delay > late hours postponed
arrival > lands arrives station
school > teacher class homework test
teacher > class lesson suggests
exam > passed failed mark points
learning > lesson practise course
job > offer contract boss start
interview > asked candidate puzzle questions
resignation > quit notice leaves
superior > boss report
company > firm office staff
customer > signed order asked wants
contract > signed months notice clause
price > euro cost hundred paid
discount > percent off cheaper
purchase > bought ordered paid
order > ordered arrives delivery weeks
delivery > arrived parcel weeks courier
complaint > complained noise wrong refund
neighbour > noise fence downstairs upstairs next
noise > loud drum practise bark night
agreement > signed settled agreed promised deal
quarrel > argued fight fence
decision > chose went settled decided end
choice > picked chose went decided
reason > because since too otherwise why
trouble problem > broken fails wrong stuck stopped lost
fault > broke died stopped cracked leaking
solution > fixed replaced works helped solved
cause > because expired full missing broke
consequence > therefore now must
change > instead now moved from renamed switched
replacement > instead new successor
cancellation > off cancelled cancel
postponement rescheduled > moved later shifted postponed
deadline > until end due latest
start > begins starts first from
end > until last finished over
duration > weeks months days hours until long
frequency > every times twice weekly daily
location > at in near floor corner behind next
origin > from came
amount > hundred thousand euro
quantity > pieces dozen kilos
weight > kilos grams heavy pounds
size > metres square inches big
height > metres tall high
speed > kilometres hour seconds
temperature > degrees minus
age > years old turned
name called > named call christened
colour > painted
material > made
owner > belongs owns
author > wrote written
responsible charge > takes owns looks handles does
participant > people came joined
winner > won first beat
rank place > first second third came
score > goals points one four
rule > must only never allowed forbidden
ban forbidden > never no not allowed except
permission > may allowed can
obligation > must have need
condition > only if unless provided must
requirement > must needs at least
recommendation suggestion advice > suggests says better should recommended
plan intention > want going will
promise > promised swore said
wish > wants would like
preference > prefers rather likes
opinion > thinks finds says
complaint > complained annoyed
feeling > happy sad proud afraid
fear > afraid scared
secret > hidden nobody
present > gave got wrapped voucher
party > guests cake music invited
guest > coming visit stays
visit > comes stays weekend
meal > cooked ate soup salad
dish > cooked made recipe
ingredient > add spoon flour
drink > glass bottle cup
restaurant > ate waiter table place
recipe > grams oven minutes spoon
garden > plant hedge tree bed
plant > pot water sun
tree > planted under apple
pet > dog cat vet food
dog > puppy walk vet collar
cat > kitten vet litter
animal > found vet wild
bird > nest sang saw wings
weather > rain sun storm cloud
storm > roof tiles tree wind
heating > cold radiator boiler pump warm
water > leak pipe tap wet
electricity > power fuse meter
room > floor wall door
door > key lock gate
key > lock door lost spare
furniture > sofa table delivered
bed > mattress sleep
kitchen > oven cabinets table cook
bathroom > tiles shower bath
window > glass pane broke
renovation > tiles paint builder bathroom
moving > boxes van company flat
car > garage tyre brake driver
driver > drove car taxi
bicycle > bike tyre chain stolen
train > station platform delay seat
boat > sail harbour ferry
walk > path trail hours
mountain > summit hut trail
sea > beach waves swim
city > old town museum
museum > picture room
music > concert song plays
instrument > plays lessons string
concert > stage band played
song > sang sing
film > cinema watched actor
book > read author chapter pages
writer > wrote book novel
picture > painted hung wall
photograph > camera lens shot
sport > training team match
match > won lost goals scored
team > players coach
race > ran kilometres finished minutes
training > coach week practise
game > played won cards
money > paid cost euro
debt > owe pay lent
loan > bank rate fixed years
bank > account card rate
tax > return refund due
savings > account put aside
inheritance > left will aunt
donation > gives give money
fine > ticket speeding paid
police > officer report stolen
court > judge case
lawyer > says letter case
crime > stolen police
document > folder signed copy
letter > wrote envelope post
phone > call number
computer > laptop screen disk
password > vault code login
internet > router wifi cable
website > page domain
software > version update
server > box machine host
database > postgres table index
query > slow index seconds
bug > fails fixed duplicate
test > fails runs green
build > fails cache minutes
deployment > live rolled release friday
outage downtime > down minutes expired
alert > pager threshold
incident > down cause
release > version shipped
version > upgraded pinned
dependency > library package pinned
config > set default changed
log > print days
backup > nightly dump restore
security > key rotated leaked
certificate > expired renew
key > rotated vault
api > calls endpoint limit
endpoint > path url
port > listens
timeout > seconds
memory > gigabytes leak heap
disk > full space
performance > slow seconds faster
cache > stale minutes ttl
queue > events messages
code > function file line
repository > branch main
branch > main merge
review > approve comments two
commit > message squash
language > python rust typescript
framework > react vue django
designer > colour font
feature > ship drop build
user > sees clicks
ticket > opened closed
project > renamed start deadline
meeting > moved at nine room
presentation > slides demo projector
report > due numbers sent
budget > euro approved cut
team > joined people lead
hire > signed start offer
launch > live date pilot
contract launch > live
trip > days nights train
passport > office weeks old
visa > consulate months stamped
luggage > suitcase airline carousel
border > customs passport
currency > coins notes left
tour > guide bus
souvenir > bought market
camping > tent site
cave > guide dark
island > ferry boat
night > slept bed
sleep > night bed wake
baby > born weighs girl boy
birth > born girl boy kilos
son boy > school football
daughter girl > school ballet
grandparent > grandma grandpa home
death > died buried funeral
funeral > buried grave church
wedding gift > couple collected
divorce > separated lawyer
friend > together visits
colleague > office desk
boss > said agreed asked
intern trainee > project weeks
student > university thesis
scholarship > months money
university > degree thesis professor
science > experiment result
experiment > sample measured control
telescope > planet ring moon mirror
planet > ring moon saw
mushroom > forest basket found poisonous
bee > hive honey swarm
fish > lake caught river
horse > riding saddle
hen > eggs coop
insect > nest wasp bee
flower > bouquet vase rose
fruit > tree jam basket
vegetable > bed harvest soup
bread > flour dough bake
cake > bake birthday eggs
wine > bottle glass red
beer > brew bottle
coffee > machine beans milk
tea > cup mug
allergy > nuts pen reaction
diet > without no
vegan > milk eggs meat
pain > hurts back knee
injury > ligament broke torn weeks
knee > running cartilage stairs
back > pain lifting
eye > glasses drops pressure
ear > hearing loud
skin > cream mole rash
heart > pressure pulse
blood > test pressure iron
tooth > dentist crown
allergic > reaction nuts pen
pregnant > due baby
fitness > gym run
yoga > mat class
hobby > club evening week
club > members evening
choir > sing concert voice
orchestra > plays concert
theatre > role stage premiere
role > plays lead
dance > class steps
painting > oil wall frame
pottery > glaze kiln bowl
sewing > needle machine dress
knitting > wool scarf
photography > camera lens film
chess > opening club
volunteer > help saturday
charity > money donates
church > wedding choir
holiday christmas > tree presents
easter > eggs
village > people voted fire
vote > against for votes
election > voted candidate
council > permit vote
strike > off trains
protest > street people
war > grandfather letters
history > old war
`;
