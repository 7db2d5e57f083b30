// Kinds and their usual members, general English, written by hand for this project; groups are divided by a bar.

/** The first word names a kind; a question with it may be answered by any of the others. */
export const KINDS: readonly string[] = `
color red blue green yellow orange purple pink brown black white grey gray teal navy beige cream turquoise crimson olive sage
colour red blue green yellow orange purple pink brown black white grey gray teal navy beige cream turquoise crimson olive sage
shade red blue green yellow orange purple pink brown black white grey gray teal navy beige cream turquoise crimson olive sage
instrument piano guitar violin cello drums flute trumpet saxophone clarinet ukulele bass harp banjo
pet dog cat hamster rabbit parrot goldfish turtle puppy kitten guinea | animal dog cat horse cow sheep goat pig chicken rabbit fox deer bear bird fish
breed collie labrador poodle terrier spaniel retriever shepherd beagle dachshund husky corgi siamese persian
sport football soccer tennis basketball swimming climbing cycling running judo karate hockey volleyball badminton rowing sailing skiing
relative mother father brother sister aunt uncle cousin grandmother grandfather niece nephew mum dad | sibling brother sister twin
meal breakfast lunch dinner supper brunch | drink coffee tea wine beer juice water cocktail whisky
dish pasta pizza soup curry salad stew risotto lasagne paella tagine ramen | dessert cake pie tart pudding tiramisu brownie cheesecake
food pasta pizza bread cheese rice meat fish nuts peanuts shellfish
fruit apple banana orange lemon strawberry raspberry mango pear plum cherry peach
vegetable tomato carrot potato onion spinach courgette aubergine pepper cucumber | flower rose tulip lily daisy orchid sunflower lavender peony dahlia
tree oak maple birch cherry apple pine willow | season spring summer autumn winter fall
month january february march april may june july august september october november december
day monday tuesday wednesday thursday friday saturday sunday tomorrow | weekday monday tuesday wednesday thursday friday
vehicle car van truck bike motorcycle scooter bus lorry | transport train bus car plane ferry tram bike taxi
furniture sofa table chair desk wardrobe shelf bookcase bed dresser | clothes shirt dress jacket coat trousers jeans sweater skirt suit
language english french german spanish italian portuguese japanese chinese mandarin korean arabic russian polish dutch swedish turkish
country france germany spain italy portugal japan china korea norway sweden denmark poland austria switzerland canada mexico brazil greece turkey ireland
city london paris berlin madrid rome lisbon vienna prague oslo stockholm copenhagen dublin edinburgh amsterdam brussels munich hamburg porto barcelona tokyo kyoto seoul toronto chicago boston
doctor dentist cardiologist dermatologist surgeon physio optician pediatrician orthopedist neurologist
specialist cardiologist dermatologist surgeon physio optician pediatrician orthopedist neurologist | joint knee hip shoulder ankle elbow wrist
body knee hip shoulder ankle elbow wrist back neck arm leg foot hand | subject maths physics chemistry biology history geography literature art
profession doctor nurse teacher engineer lawyer architect carpenter baker chef accountant designer electrician plumber
trade carpenter plumber electrician roofer painter tiler | material wood oak pine steel glass cotton wool leather linen granite marble brass copper
metal steel iron copper brass aluminium silver gold | fabric cotton wool silk linen leather velvet denim
room kitchen bedroom bathroom attic basement hallway cellar study lounge
database postgres postgresql mysql sqlite mariadb mongodb cassandra dynamodb redis | broker kafka rabbitmq nats redis sqs
language typescript javascript python rust java kotlin go golang ruby swift | os linux ubuntu debian windows macos | browser chrome firefox safari
format json yaml xml csv parquet protobuf | currency euro euros dollar dollars pound pounds | platform aws azure gcp kubernetes heroku
licence mit apache gpl bsd | license mit apache gpl bsd | genre jazz rock classical folk blues pop thriller mystery fantasy
instrument trombone violin viola organ accordion mandolin oboe bassoon cymbal recorder keyboard fiddle
music requiem symphony opera sonata song concerto hymn melody | piece requiem symphony sonata concerto opera quartet
animal marten mouse rat hedgehog squirrel badger wolf seal whale dolphin snake lizard frog crow goose duck monkey lion tiger elephant
bird osprey eagle owl crow raven robin sparrow heron stork swan goose duck gull hawk falcon kingfisher woodpecker finch
fish salmon trout tuna cod herring carp eel | insect bee wasp ant fly moth butterfly beetle mosquito
crop tomato potato courgette bean pea wheat corn carrot lettuce cabbage pumpkin | plant rose tulip fern cactus ivy lavender basil
tree walnut hornbeam beech ash larch elm chestnut poplar spruce fir cedar hazel | timber oak pine larch beech ash walnut spruce cedar maple birch teak
wood oak pine larch beech ash walnut spruce cedar maple birch teak | sapling hornbeam oak maple birch beech pine larch
nut cashew peanut almond walnut hazelnut pistachio | allergen cashew peanut almond milk egg wheat shellfish pollen
shellfish mussel oyster shrimp prawn crab lobster | spice pepper cumin cinnamon ginger chilli saffron | herb basil parsley thyme mint rosemary sage
cheese cheddar brie gouda feta parmesan | bread rye baguette toast sourdough roll
dish dumpling tart pie omelette stir casserole roast burger sausage falafel sushi lasagna
food tart salad dumpling omelette mussel lentil falafel tuna | wine burgundy bordeaux riesling merlot rioja chianti
alcohol wine beer liqueur gin rum whisky vodka
sport squash fencing judo parkour running swimming ballet gymnastics boxing wrestling rugby cricket baseball golf kayak canoe archery
activity fencing ballet judo chess pottery sailing climbing knitting gardening painting | programme sailing circus football music
race marathon relay sprint triathlon | game chess poker cards dominoes monopoly scrabble | art painting sculpture drawing pottery photography
fabric linen shirt canvas tent cotton nylon polyester tweed corduroy denim
material plaster clay paper plastic rubber stone tent canvas brick tile concrete
garment shirt dress jacket coat trousers suit boot shoe hat scarf glove sock | clothes suit boot shoe hat scarf tie outfit linen
outfit suit dress shirt tie gown uniform | belongings boot shoe charger laptop phone book bag | jewellery ring necklace bracelet earring watch
timepiece clock watch | artwork painting picture sculpture drawing print | vehicle camper campervan tractor bicycle tram taxi ferry scooter
vessel boat ship yacht canoe ferry kayak | building house church school hospital museum barn tower gym | shelter hut tent cabin gym
room lounge cellar conservatory pantry nursery loft garage | furniture couch settee stool cabinet cupboard dresser armchair
appliance fridge freezer oven dishwasher washer dryer toaster kettle | device printer phone laptop scanner router camera
tool hammer saw drill screwdriver spanner axe | relative cousin godson niece grandma gran uncle | spouse husband wife
joint hip wrist ankle finger toe thumb | limb arm leg | organ heart liver kidney lung | injury strain sprain fracture cut bruise burn tear
diagnosis strain fracture infection sprain inflammation allergy | illness flu cold cough fever asthma diabetes cancer
specialist eye skin heart ear orthodontist surgeon | deficiency iron vitamin zinc calcium
medicine aspirin antibiotic drops ibuprofen melatonin insulin | scientist physicist chemist biologist geologist astronomer
profession geologist photographer pilot sailor farmer musician writer journalist mechanic plumber vet pharmacist librarian
occupation geologist photographer pilot sailor farmer musician writer journalist mechanic plumber vet pharmacist librarian
tradesman plumber electrician carpenter glazier roofer painter | religion christian muslim jewish buddhist hindu
planet mercury venus earth mars jupiter saturn uranus neptune | metal zinc lead tin titanium | stone granite marble slate sandstone limestone
rank belt captain sergeant | gift watch book bike voucher telescope | holiday christmas easter ramadan passover thanksgiving
language portuguese latin greek czech finnish danish norwegian hungarian hindi
country finland iceland hungary croatia romania ukraine russia india egypt morocco kenya australia
city leipzig bologna ghent graz basel cork nantes uppsala geneva zurich milan naples turin lyon marseille seville valencia krakow warsaw budapest athens istanbul manchester glasgow
currency yen franc krone euro peso rupee yuan ruble | money yen euro dollar pound franc cash | software excel photoshop bitwarden slack outlook
program bitwarden excel word photoshop | broker nats pulsar | database oracle clickhouse duckdb elasticsearch | hardware cpu gpu disk ssd cores memory
shape round square oval triangle | direction north south east west left right | weather rain snow sun wind fog storm hail
book novel biography thriller diary atlas dictionary | document passport visa contract letter licence certificate | measures rule ban limit
`
  .trim()
  .split(/ \| |\n/);
