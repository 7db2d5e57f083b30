// Travel, transport, places.
export const TRAVEL: string = `
# journeys
trip journey travel voyage tour excursion outing expedition | vacation holiday break leave getaway | traveller tourist passenger visitor | itinerary route plan schedule | destination goal place where | depart departure leave set off | arrive arrival reach land get come
return back home come | stay overnight nights | abroad overseas foreign | sightseeing sights attraction landmark | guide tour guidebook | souvenir memento | pack packing suitcase luggage | luggage suitcase bag baggage backpack rucksack trunk holdall case
explore wander roam stroll | visit see call on | accompany join come along companion | cancel call off | delay late hold up | map atlas chart gps navigation | detour diversion roundabout | stopover layover stop | adventure
holiday vacation > beach ski camping cruise city hiking sailing safari
# staying
hotel inn hostel guesthouse motel lodge resort pension bed breakfast | hostel dormitory | accommodation lodging > hotel hostel airbnb apartment guesthouse campsite cottage cabin tent inn | camp camping campsite tent caravan campervan | reception desk lobby
check in checkin arrive | check out checkout leave | room double single twin suite | view overlooking | reservation booking book reserve | full fully booked | vacancy available free | host landlord owner | breakfast included board half full | sleeping bag mattress
balcony sea view | star rating | towel linen | wifi
# air
plane aircraft airplane jet airliner aeroplane | flight fly flying flew | airline carrier > lufthansa ryanair easyjet klm sas | airport terminal gate runway | pilot captain crew steward stewardess attendant | boarding board pass gate | takeoff take off | land landing touch down
seat aisle window row legroom | security check control | luggage carousel baggage claim lost | connection connecting transfer change | helicopter | jetlag jet lag time zone | turbulence | ticket fare | hand carry on cabin | miles frequent | drone
# rail and road public
train rail railway locomotive carriage express intercity | station stop platform terminus track | platform track quay | conductor inspector guard | ticket fare pass season card | timetable schedule times | change transfer connection | bus coach minibus shuttle | tram streetcar
underground subway metro tube | taxi cab uber minicab | driver chauffeur | passenger commuter rider | commute commuting travel work journey | delay late cancelled strike | seat reservation | compartment coach wagon | sleeper night
transport vehicle > train bus car plane ferry tram bike taxi boat ship subway metro helicopter truck van scooter motorcycle coach lorry
# cars
car auto automobile vehicle wheels motor | van lorry truck pickup | drive driving drove driver motorist | licence license permit test | engine motor | tyre tire wheel flat puncture | brake brakes pad disc | gear gearbox clutch transmission | exhaust pipe muffler | battery charge start
petrol gas fuel diesel gasoline tank | charger charging station electric | garage workshop mechanic repair | service inspection mot tuv | accident crash collision bump | dent scratch damage | fine ticket penalty speeding parking | park parking space spot | motorway highway freeway road
junction crossing intersection lights | roundabout | toll vignette | tow towing breakdown | rental hire rent | windscreen windshield glass wiper | seatbelt belt | horn hoot | headlight light lamp | mileage kilometres odometer | boot trunk | bonnet hood | traffic jam congestion queue | registration plate number
make model brand > volkswagen toyota ford bmw audi mercedes skoda renault peugeot fiat honda tesla volvo hyundai kia opel mazda nissan seat | overtake pass | reverse back | secondhand used second
motorbike motorcycle bike scooter moped
# cycling and walking
bicycle bike cycle cycling ride | cyclist rider | pedal saddle handlebar chain | helmet head | puncture flat tube tyre pump | walk walking foot stroll hike pedestrian | hike hiking trek ramble trail | path track trail way | rucksack backpack | boots shoes | summit peak top | ascend climb up | descend down | shortcut | lost way | signpost sign
e bike electric | ebike electric pedelec | lock chain
# water
boat ship vessel craft > ferry yacht canoe kayak sailboat dinghy barge cruiser rowing catamaran | sail sailing sailor yacht | captain skipper | crew | harbour harbor port dock marina pier quay jetty mooring | anchor moor berth | ferry crossing | cruise liner | row oar paddle | deck cabin | sea ocean | seasick
lighthouse | tide current wave | shore coast beach seaside | river canal lock | lake loch pond | bridge span crossing | swim dive snorkel | lifejacket vest
# borders
passport identity id document | visa permit entry | border frontier customs | customs duty declare | embassy consulate | immigration migrate emigrate migrant | currency exchange money | expire expired valid renew | citizenship nationality national | refugee asylum | foreigner alien
vaccination certificate | translator interpreter
# places
town city municipality metropolis | village hamlet | suburb outskirts | centre center downtown middle | square plaza market | street road lane avenue alley boulevard | corner junction | bridge | tower | castle palace fortress | church cathedral | monument statue memorial | park gardens green
district quarter borough neighbourhood | address street number postcode | country nation state land | capital city | region province county area | continent > europe africa asia america australia antarctica | island isle | coast shore seaside beach | mountain hill peak summit | valley dale | forest wood woods | desert | plain field meadow | cave cavern grotto | cliff rock | waterfall | volcano | glacier ice
country > france germany spain italy portugal japan china korea norway sweden denmark poland austria switzerland canada mexico brazil greece turkey ireland scotland wales england britain finland iceland hungary croatia romania ukraine russia india egypt morocco kenya australia netherlands belgium luxembourg vietnam thailand indonesia peru chile argentina cuba israel jordan iran iraq nepal nigeria ghana ethiopia tanzania serbia bulgaria slovenia slovakia czechia estonia latvia lithuania
city town > london paris berlin madrid rome lisbon vienna prague oslo stockholm copenhagen dublin edinburgh amsterdam brussels munich hamburg porto barcelona tokyo kyoto seoul toronto chicago boston leipzig bologna ghent graz basel cork nantes uppsala aarhus geneva zurich milan naples turin lyon marseille seville valencia krakow warsaw budapest athens istanbul manchester glasgow dresden cologne frankfurt stuttgart bremen salzburg innsbruck bern antwerp rotterdam utrecht bergen gothenburg malmo helsinki tallinn riga vilnius bucharest sofia belgrade zagreb ljubljana bristol leeds liverpool oxford cambridge york bath bordeaux toulouse nice strasbourg granada bilbao venice florence palermo genoa
river > danube rhine thames seine elbe loire rhone tiber nile amazon | mountains > alps pyrenees andes himalaya | sea > mediterranean baltic atlantic adriatic pacific
north northern | south southern | east eastern | west western | near close nearby | far distant remote | opposite across facing | beside next | behind | direction > north south east west left right
`;
