// Home and household. Grammar of every file here: thesaurus/index.ts.
export const HOME: string = `
# dwelling
house home dwelling residence property place | flat apartment condo unit studio maisonette penthouse loft duplex | cottage bungalow villa cabin chalet hut
dwelling home accommodation > house flat apartment cottage bungalow villa studio cabin mansion condo loft room
tenant renter lodger occupant occupier | landlord landlady owner letting agent | rent lease tenancy let sublet rental | deposit bond security guarantee
move relocate relocation moving removal resettle | mover removals van boxes packing | household home family | neighbourhood neighborhood area district quarter
keys handover handing possession | viewing inspection visit | evict eviction notice terminate | utilities bills water gas electricity heating
storey floor level ground upstairs downstairs | resident inhabitant dweller occupant live | furnish furnished equip | vacant empty unoccupied free
estate agent realtor broker | mortgage loan lender repayment | buyer purchaser seller vendor | spacious roomy large big | cramped narrow tight small
# rooms
room space chamber | living lounge sitting parlour | bedroom bed sleep | bathroom bath shower toilet loo lavatory restroom washroom | kitchen cook cooking galley
cellar basement vault underground | attic loft roof | hallway hall corridor entrance foyer lobby vestibule passage | study office den workroom library
pantry larder storeroom | nursery children playroom | balcony terrace veranda porch patio deck | garage carport parking shed | conservatory winter garden greenhouse
room area > kitchen bathroom bedroom lounge cellar attic hallway study pantry nursery garage balcony conservatory dining utility cloakroom
# structure
wall partition plaster brick | roof tile slate gutter rafter beam | ceiling plaster overhead | floor flooring parquet laminate carpet tiles floorboard lino | window pane glass glazing sill frame shutter
door doorway entrance gate threshold hinge knob handle latch | lock bolt key padlock cylinder latch | stairs staircase steps flight stairwell banister ladder | lift elevator escalator
chimney flue fireplace hearth stove | foundation base footing | insulate insulation draught draft drafty | facade front exterior outside | column pillar post beam
fence hedge railing boundary border | drain gutter downpipe sewer | crack split fissure gap | mould mold damp moisture condensation mildew fungus | leak drip seep puddle | scaffold scaffolding
# plumbing and heating
heating radiator boiler furnace heater thermostat warm warmth central | boiler furnace burner pump | heat warm hot | cold chilly freezing icy frozen | pipe tube hose conduit plumbing
tap faucet mixer valve | sink basin washbasin | drain plughole blocked clogged | toilet cistern flush loo | shower bath tub | leak burst drip flood | plumber plumbing pipes fitter
thermostat temperature degrees setting | ventilation fan airing air conditioner conditioning cooling | water supply mains meter | hot boiling scalding | engineer technician fitter repairman
# electricity
electricity power current mains electric voltage | socket outlet plug point | cable wire lead cord wiring | fuse breaker circuit tripped | switch dimmer button | bulb lamp light lighting lightbulb led
outage blackout cut failure | electrician wiring | meter reading consumption kilowatt usage | solar panel photovoltaic roof | generator battery inverter | light bright illuminate glow shine | dark dim gloomy
# furniture
furniture > sofa couch armchair chair table desk bed wardrobe cupboard shelf bookcase dresser drawer stool bench cabinet sideboard mattress cot crib settee
sofa couch settee | armchair recliner | wardrobe closet cupboard | shelf shelving rack bookcase bookshelf | drawer chest dresser | mattress bed bunk | table desk worktop counter
cot crib cradle | bench stool pew | curtain blind drape shade | rug carpet mat | cushion pillow bolster | mirror looking glass | lamp lantern chandelier light | vase pot jug
upholstery cover fabric | assemble assembly flatpack put together | seat chair place
# appliances
appliance machine device > fridge freezer oven hob dishwasher washer dryer toaster kettle microwave blender mixer vacuum iron cooker stove heater
fridge refrigerator freezer cooler | oven stove cooker hob range | dishwasher dishes washing | washer washing laundry machine spin | dryer tumble drying | hoover vacuum cleaner | kettle boil
iron ironing press steam | microwave heat | toaster toast | coffee espresso machine grinder | blender mixer processor | filter cartridge bag
broken faulty defective kaputt dead out | warranty guarantee cover | noise hum rattle squeak beep buzz rumble
# housework
clean wash scrub wipe mop sweep dust polish rinse tidy | dirt dust grime stain filth mess | tidy neat orderly clear declutter | laundry washing clothes linen | iron press | soap detergent cleaner bleach powder
sponge cloth rag towel | broom brush mop bucket | rubbish trash garbage waste bin litter refuse | recycle recycling sort bottle | chore housework task duty | cleaner maid housekeeper help
stain spot mark spill | dispose throw discard bin dump | bulky waste collection pickup
# renovation
renovate refurbish remodel redo modernise renovation do up | build builder construct construction contractor mason bricklayer | paint painter decorate decorator varnish coat emulsion | tile tiler tiling grout
carpenter joiner cabinetmaker woodwork | roofer roofing | plasterer plaster | glazier glass | wallpaper paper | drill hole screw | quote estimate offer bid quotation | architect plan drawing blueprint
permit permission approval consent planning | extension annex conversion enlarge | demolish tear knock down pull | repair fix mend patch restore | craftsman tradesman handyman workman
tradesman craftsman trade > plumber electrician carpenter roofer painter tiler plasterer glazier mason joiner locksmith gardener decorator builder fitter
skip dumpster container rubble | measure measurements dimensions size width | colour shade tone hue tint
# garden
garden yard lawn plot allotment backyard | gardener landscaper gardening | lawn grass turf mow mower | plant sow grow cultivate bed | weed weeds pull | prune trim cut clip | rake hoe spade shovel fork
seed seedling sapling bulb | compost manure fertiliser fertilizer soil earth mulch | hose water sprinkler watering irrigation | greenhouse glasshouse polytunnel | pond pool fountain | shed hut store | barbecue grill bbq
harvest pick crop gather | hedge shrub bush | patio terrace paving deck | swing trampoline slide playground sandpit | pest slug snail aphid caterpillar | wheelbarrow barrow cart
# neighbours and security
neighbour neighbor nextdoor adjacent upstairs downstairs | noise racket din loud noisy disturb disturbance | quarrel dispute argument complaint | alarm siren detector sensor | burglar thief intruder break in
lock safe secure bolt | camera surveillance cctv doorbell | code pin combination number digits | smoke detector fire extinguisher | caretaker janitor superintendent concierge porter | key spare copy duplicate
parcel package delivery post letterbox mailbox | bell doorbell ring knock | housemate flatmate roommate lodger | janitor caretaker
`;
