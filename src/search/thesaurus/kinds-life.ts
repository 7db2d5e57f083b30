// Kinds of daily life with their members: `kind ... > member ...`.
export const KINDS_LIFE: string = `
bone > collarbone rib skull spine pelvis femur shin wrist ankle elbow hip toe finger nose jaw vertebra kneecap shoulder arm leg
condition complaint ailment trouble > headache migraine cough fever rash reflux heartburn hernia gout sciatica tinnitus eczema psoriasis insomnia vertigo cramp indigestion anaemia hypertension backache toothache earache sinusitis bronchitis thyroid varicose
childhood disease > measles mumps chickenpox rubella scarlet whooping croup
symptom > sneezing coughing itching swelling limping bleeding shivering sweating dizziness cramps spots wheezing hoarse
remedy cure treatment > tablet drops ointment cream syrup spray massage rest exercise ice bandage surgery tea honey steam inhaler physio splint laser acupuncture injection diet
medical device aid equipment > brace crutches splint cast sling inhaler glasses wheelchair pacemaker insole thermometer plaster cane walker mask cpap
therapist practitioner healer > physio osteopath psychologist chiropractor masseur logopedist acupuncturist dietician counsellor
dentistry dental treatment procedure work > filling crown bridge implant braces extraction root canal cleaning scaling retainer
procedure operation surgery > appendix tonsils hernia bypass cataract caesarean biopsy arthroscopy endoscopy colonoscopy transplant implant hip knee
nutrient > protein fat sugar fibre iron vitamin calcium salt
vaccination inoculation > tetanus measles flu hepatitis rabies polio hpv covid mumps rubella tick
abstain avoid cut > alcohol sugar salt meat gluten dairy caffeine coffee smoking sweets
appliance equipment > fridge freezer oven hob cooker dishwasher washer dryer kettle toaster microwave hoover vacuum iron mixer blender heater boiler grill fan hood
cookware > pan pot wok casserole tin tray kettle saucepan skillet roaster
tableware crockery dishes > plate cup bowl saucer mug glass jug teapot
cutlery > knife fork spoon
container vessel > box bag bottle jar bucket bowl can tin crate basket barrel tank pot jug case drawer envelope sack
bedding linen > sheet pillow duvet blanket mattress cover quilt
textile > curtain towel carpet rug tablecloth sheet blanket quilt
floor covering > carpet parquet laminate tile lino cork rug boards vinyl
furnishing > sofa couch lamp rug curtain table bookcase mirror bed wardrobe shelf armchair
light lighting fixture > lamp bulb chandelier lantern candle spotlight led
fixture fitting > tap handle hinge lamp socket sink switch knob
outbuilding > shed garage barn greenhouse stable hut
building construction structure > house church school hospital museum tower castle barn station library hotel theatre warehouse factory gym bridge garage palace chapel mill stadium
premises facility > office shop hall warehouse studio workshop clinic gym
security precaution > alarm lock camera safe bolt code key chain detector guard
entrance access > door gate code key lock barrier hatch
installation > boiler solar pump heater alarm aircon
energy source renewable > solar wind turbine hydro geothermal gas coal oil nuclear wood pellet heat
fuel > petrol diesel gas wood coal pellet oil electricity kerosene hydrogen
damage > crack dent scratch hole leak stain tear burn rot rust mould flood break
defect fault flaw > crack dent scratch leak hole rust wobble noise tear rattle loose stuck bug
pest vermin > mouse rat moth ant cockroach wasp slug snail aphid marten mole woodworm
noise > bark drum music drill hammer scream siren beep traffic party vacuum trumpet footsteps
domestic chore > ironing dishes vacuuming laundry cooking dusting shopping mopping rubbish bins cleaning windows
helper domestic > cleaner nanny gardener babysitter maid janitor caretaker
dairy > milk cheese butter yoghurt cream
sweetener > sugar honey syrup stevia
condiment > mustard ketchup mayonnaise salt pepper vinegar chutney relish miso soy
flour > rye wheat spelt oat corn buckwheat rice
baked pastry > cake bread roll croissant pie tart biscuit muffin bun scone pretzel
sweets confectionery > chocolate candy liquorice toffee gum marzipan caramel lollipop fudge
soup > lentil tomato goulash minestrone broth chicken pumpkin noodle
salad > potato pasta cucumber tomato greek bean carrot fennel
citrus > orange lemon lime grapefruit mandarin
cuisine kitchen > italian french indian thai chinese japanese mexican greek turkish vietnamese korean lebanese spanish ethiopian persian moroccan peruvian polish hungarian syrian
beverage refreshment > coffee tea juice lemonade water beer wine soda cola milk cider stout ale smoothie cocoa
liquor spirit > gin rum whisky vodka brandy schnapps liqueur tequila
eatery > pizzeria cafe diner bistro pub canteen takeaway grill bakery snackbar
cooking method > boil fry bake roast grill steam simmer poach
foodstuff produce groceries > egg milk bread butter cheese flour rice potatoes vegetables fruit
animal product > milk egg meat fish honey cheese butter
footwear > boot shoe sandal slipper trainer sneaker wellington heel clog
headgear > hat cap helmet beanie bonnet turban hood crown beret
accessory > scarf belt glove tie hat bag jewellery sunglasses umbrella
costume disguise outfit > pirate witch princess ghost mask wig crown robe vampire knight clown wings
sleepwear > pyjamas nightgown
outerwear > coat jacket anorak raincoat parka
valuables > jewellery watch cash gold camera laptop silver coin painting ring necklace
optical vision aid > glasses lenses telescope binoculars microscope magnifier spectacles
toiletries > soap shampoo toothpaste toothbrush razor deodorant
cosmetics > lipstick mascara powder perfume cream
conveyance transportation > car bus train plane ferry taxi bike tram lorry van boat
public transport > bus train tram underground metro ferry
two wheeler > bicycle motorbike scooter moped bike
aircraft > plane helicopter balloon glider jet drone
watercraft > boat kayak canoe yacht ferry raft dinghy ship
lodging accommodation > hotel hostel inn campsite apartment cottage tent guesthouse cabin airbnb motel room
camping shelter gear > tent sleeping bag mat stove lantern backpack
travel paper document > passport visa ticket id licence card
delay disruption obstacle > strike breakdown accident snow fog storm jam closure detour cancellation queue
landmark sight attraction > castle cathedral tower bridge museum palace statue fountain monument lighthouse ruin cave waterfall
natural feature > mountain lake river cave waterfall glacier volcano cliff forest beach canyon
body of water > lake river sea pond ocean canal stream bay reservoir
region area > coast valley mountains alps tuscany provence bavaria brittany scotland
south american > brazil argentina chile peru colombia
scandinavian nordic > sweden norway denmark finland iceland
asian > japan china korea taiwan thailand vietnam india
african > kenya egypt morocco nigeria ghana
european > france germany italy spain poland austria greece
relative > grandfather grandmother uncle aunt cousin nephew niece godfather godmother stepfather sister brother granddaughter grandson
elderly old senior > grandma grandpa grandmother grandfather pensioner gran aunt
child young > baby toddler infant kid teenager
acquaintance > friend neighbour colleague
festivity celebration occasion > birthday wedding christmas easter anniversary party jubilee baptism graduation carnival barbecue whitsun
ceremony > wedding funeral baptism graduation
jubilee milestone > fiftieth sixtieth fortieth thirtieth seventieth eightieth hundredth
present > book watch voucher hammock flowers bike necklace ticket toy game perfume wine picture telescope camera
greeting card
toy plaything > doll lego teddy puzzle kite ball blocks train
pastime > knitting chess gardening fishing painting hiking photography pottery reading sailing
physical activity exercise > running swimming cycling climbing dancing fencing parkour ballet yoga football hiking judo tennis
martial art > judo karate aikido taekwondo boxing
winter sport > skiing skating snowboarding sledging
ball game > football tennis volleyball handball basketball
award prize distinction > medal cup trophy certificate diploma gold silver bronze
competition contest > race tournament championship match cup marathon
musical ensemble > choir orchestra quartet band trio
string > violin cello guitar harp viola bass
wind brass > trumpet flute clarinet saxophone horn trombone oboe
voice vocal > alto soprano tenor bass
performance > concert play opera ballet recital show solo gig
publication periodical > newspaper magazine journal weekly book paper
reading matter > novel book magazine comic biography
correspondence > letter email postcard mail
artwork > painting sculpture drawing photo print picture
craft technique > knitting sewing pottery carving weaving glazing embroidery
wild animal > fox deer boar hedgehog badger squirrel marten hare wolf owl bear raccoon
bird of prey raptor > eagle hawk falcon osprey owl buzzard kite
farm livestock > cow pig sheep goat hen horse
rodent > mouse rat hamster squirrel
shrub > lilac box hedge rhododendron rose hydrangea hazel
fruit tree > apple pear plum cherry apricot peach fig quince
conifer > pine spruce fir larch cedar yew
precipitation > rain snow hail drizzle sleet
natural disaster catastrophe > flood storm earthquake fire hurricane avalanche
heavenly celestial body > moon planet star comet sun saturn jupiter mars
liquid > water oil milk petrol juice wine
substance > salt oil acid sugar powder glue paint water
fastener > screw nail bolt clip zip button rope tape
adhesive > glue tape epoxy paste
handicraft tool > needle hook loom brush chisel
pattern > stripes dots checked floral plain
shade hue > sage mustard teal petrol navy beige olive cream anthracite terracotta mint lilac
size measurement > width height length metres centimetres inches kilos
subject > fractions algebra geometry maths latin physics spelling grammar essay chemistry history music art
school paper > essay homework exam test report certificate
grade mark > a b c d e f
educational institution > school university college kindergarten academy nursery
religious holiday > easter christmas whitsun ramadan passover
public authority office > police court council ministry embassy town tax registry
punishment penalty sanction > fine ban prison detention points licence suspension warning ticket
offence crime > speeding theft parking burglary fraud drunk
weapon > knife gun pistol sword
payment method means > cash card cheque transfer paypal
recurring cost expense > rent electricity insurance subscription gas phone internet heating
housing cost > rent mortgage heating deposit bills
property asset > house flat land car shares gold
legacy inheritance > cello piano house money jewellery ring watch furniture land cottage painting
financial support > grant scholarship loan subsidy donation
cause charity > hospice shelter cancer refugees school rescue lifeboat library
vocal artist > singer tenor soprano
season > spring summer autumn winter
festival holiday > easter christmas whitsun carnival
weekend > saturday sunday
workday > monday tuesday wednesday thursday friday
evening > tonight dinner
period time span duration > day week month year hour minute
frequency interval > daily weekly monthly yearly every twice once
timepiece > clock watch hourglass
signal sign > flag siren light bell sound
mishap misfortune > fall accident crash spill lost missed broke
`;
