// A thesaurus of general English: words that people exchange for one another, by topic; groups are divided by a bar.
// Written by hand for this project. A word in doubt is better left out: a loose synonym costs room in every answer.

/** Each word of a group may stand for the others. */
export const SYNONYMS: readonly string[] = `
buy purchase order acquire | sell sale sold | cost price fee charge pay expense amount | cheap inexpensive affordable bargain
expensive costly pricey | money cash funds | budget spending allowance | refund reimburse reimbursement repay | rent lease tenancy landlord
loan mortgage borrow credit | salary wage pay income earnings | raise increase promotion | job work employment position role occupation career
boss manager supervisor lead | colleague coworker teammate | company firm employer business | hire recruit employ | fire dismiss layoff sack
quit resign leave | office workplace desk | meeting call appointment session sync | interview screening | deadline due date
schedule plan calendar timetable agenda | postpone delay reschedule defer move push | cancel call scrap drop | begin start commence launch kick
end finish complete conclude wrap done | stop halt cease quit | continue proceed resume | doctor physician gp clinic practitioner
dentist dental tooth teeth | hospital clinic ward emergency | medicine medication drug pill tablet prescription prescribe dose
illness disease sick ill sickness condition | injury hurt injure wound sprain break fracture | pain ache sore hurt
allergy allergic intolerant reaction | diet eat nutrition | surgery operation operate surgeon | checkup examination exam test
therapy treatment physio physiotherapy | vaccine vaccination shot jab | glasses spectacles lens | pregnant pregnancy expecting baby
baby infant newborn | child kid son daughter | boy son | girl daughter | mother mum mom mama parent | father dad papa parent
grandmother grandma gran nana granny | grandfather grandpa grandad | brother sister sibling | husband wife spouse partner
aunt uncle cousin relative family | friend mate pal buddy | neighbour neighbor nextdoor | wedding marry marriage engaged ceremony
divorce separate split | funeral die death pass | birthday party celebrate celebration turn | gift present | guest visitor visit | pet animal dog cat
dog puppy pup hound | cat kitten | vet veterinarian | house home place property | apartment flat condo unit studio | room bedroom | kitchen cook
bathroom shower bath toilet | floor storey level | lift elevator | stairs steps staircase | garden yard lawn plant | furniture sofa couch table chair
sofa couch settee | fridge refrigerator freezer | oven stove cooker | heating heater radiator boiler warm | leak drip water plumbing plumber
repair fix mend patch | broken broke fail failure defect faulty fault | renovate renovation remodel refurbish redo | builder contractor tradesman
paint colour color shade | key lock code | parcel package delivery deliver ship shipment arrive | post mail letter envelope
store shop supermarket market | car vehicle automobile drive | bike bicycle cycle cycling | train rail railway station
plane flight fly airline airport | bus coach | trip journey travel voyage vacation holiday tour | vacation holiday break leave
hotel hostel accommodation lodging stay inn airbnb | luggage suitcase baggage bag | passport visa document | ticket booking reservation book reserve
route way path road | distance far kilometre mile | map direction | beach coast sea shore | mountain hike hiking trail climb | lake river swim
weather rain storm snow | food meal dish cuisine | breakfast lunch dinner supper meal | restaurant cafe diner bistro eatery
recipe ingredient cook bake | bake cake bread oven | drink beverage coffee tea | vegetarian vegan meatless | spicy hot chili | sugar sweet dessert
exercise workout gym train training fitness | run jog running race marathon | football soccer match | game match play | team squad club
win victory beat champion | lose loss defeat | coach trainer instructor | teacher tutor instructor professor lecturer | student pupil learner
school class course lesson | university college campus degree | exam test quiz assessment | grade mark score result | study learn revise
homework assignment coursework | thesis dissertation paper | scholarship grant funding | language speak fluent | translate translation
book novel read author | author writer write | film movie cinema picture | show series episode season tv | song music track tune
concert gig performance show | band group | instrument play | photo picture photograph camera image | paint draw drawing sketch
museum gallery exhibition exhibit | dance dancing | hobby pastime interest | club society group | volunteer charity donate donation
church mosque temple | police officer | thief steal stolen theft rob burglar | lawyer attorney solicitor legal | contract agreement sign
law rule regulation | tax taxes accountant | insurance insurer policy premium claim | bank account | card visa
password passphrase secret credential login | email mail address inbox | phone telephone mobile cell call number | computer laptop machine pc
screen display monitor | printer print | internet wifi network broadband connection | website site page web | app application program software
file document | folder directory | picture image | backup copy restore | delete remove erase drop | add insert include append
change modify alter edit update switch | update upgrade | old previous former earlier | new recent latest | choose pick select decide settle opt
decision decide choice conclude | reason why because cause | problem issue trouble bug fault | bug defect error issue | error exception failure crash
crash fail die abort | slow sluggish latency lag | fast quick speed rapid | memory ram | disk storage drive
database db postgres sqlite mysql datastore | table schema column | query sql search | cache caching redis
queue broker messaging kafka rabbitmq nats | server host machine instance box | cloud aws azure gcp | deploy deployment release rollout ship
release version tag | rollback revert undo | environment staging production | test testing suite | pipeline ci build | build compile
library package dependency module | framework toolkit | language typescript python rust java golang | function method routine
variable parameter argument | config configuration setting option flag | default preset | timeout expire expiry
limit cap maximum max quota threshold | minimum least | port socket | endpoint route api url | token key credential | authentication auth login signin
permission access role right | encrypt encryption cipher | certificate cert tls ssl | log logging logs | monitor monitoring alert dashboard grafana
alert alarm page notification | outage incident downtime | oncall pager rotation | customer client user | supplier vendor provider
invoice bill receipt | order purchase | discount rebate coupon reduction | stock inventory | warehouse depot | feature functionality
requirement spec specification | design layout mockup | review feedback comment | approve approval sign accept | reject decline refuse deny
ask request | answer reply respond response | suggest recommend advise recommendation suggestion advice | agree accept | disagree object
promise commit pledge | help assist support | explain describe | remember recall remind reminder | forget forgotten | find locate discover
lose lost misplace missing | search look seek hunt | hide conceal | show display | tell inform mention say | talk speak discuss chat | meet encounter
call phone ring | send mail dispatch | receive get | give hand donate | take bring carry | keep retain store | move relocate relocation
live reside stay home | born birth birthday | age old year | name called call title | nickname name | size big large dimension | small little tiny
height tall high | length long | weight heavy weigh kilo | width wide | number count many figure | amount quantity | half fifty | double twice
first initial original | last final | often frequently frequency every | daily day | weekly week | monthly month | yearly annual year annually
morning dawn | evening night tonight | today now | early soon | late delay | time hour when | date day when | place location where spot venue
north south | city town | village hamlet | country nation abroad | street road avenue lane | building block tower | bridge crossing | border frontier
happy glad pleased delighted | sad upset unhappy | angry annoyed furious mad | afraid scared fear frightened worried | worry concern anxious nervous
tired exhausted weary | like love enjoy favourite favorite prefer | hate dislike loathe | want wish desire hope | need require must
difficult hard tough challenging | easy simple | dangerous unsafe risky risk hazard | safe secure | important crucial critical vital
wrong incorrect mistaken error | right correct | true real genuine | good great excellent | bad poor terrible awful | beautiful pretty lovely
clean tidy wash | dirty messy | loud noise noisy | quiet silent | strange odd weird | similar alike same | different differ distinct
material fabric wood metal | wood wooden oak timber | clothes clothing wear outfit | shoe boot sneaker | jacket coat | ring jewellery jewelry
hair haircut | tattoo ink | plant tree flower | flower rose tulip bouquet | tree oak maple | vegetable tomato carrot | fruit apple berry | bird parrot
fish aquarium | horse pony riding | chicken hen | bee hive honey | experiment trial study | sample specimen | measure measurement gauge
result outcome finding | increase grow rise | decrease reduce drop fall shrink cut | compare versus | cause reason trigger root culprit
effect impact consequence | method approach technique | tool instrument utility | team group crew | plan intend intention | goal target aim objective
progress status | risk danger | strategy approach | investor funding investment invest | share stock equity | profit margin revenue
founder founded establish start | partner cofounder | conference talk event summit | speech talk presentation present | slide deck presentation
report document summary | draft version | editor publisher publish | newspaper magazine article | vote election | government council
permit licence license permission approval | fine penalty ticket | accident crash collision | insurance cover coverage | emergency urgent
fire smoke burn | flood water | power electricity electric electrical | solar panel | gas fuel petrol | battery charge charger | engine motor
tyre tire wheel | garage mechanic workshop | purchase acquisition bought | receipt proof | auction bid bidding hammer
estimate quote quotation offer appraisal assess assessment valuation | appraise assess value evaluate expert
debt owe arrears loan encumber liability | instalment installment payment rate | savings save deposit | deposit security bail | interest rate percent
share part portion proportion percentage fraction percent | donate charity cause contribute contribution
fundraise fundraising crowdfunding backer sponsor sponsored collect collection raise | inherit inheritance legacy estate heir leave
testament notary guardian | pension retirement retire retired annuity | unemployed jobless redundant redundancy | resign notice
candidate applicant contender | freelance freelancer contractor independent | intern trainee apprentice internship | mentor guide teach
staff personnel workforce employee people | headquarters office site branch location | shut close closure closing | open opening launch start
merge merger acquisition acquire takeover buyout | board directors committee | investor shareholder backer | negotiate bargain talk haggle
convince persuade argue argument | argue quarrel fight dispute row | apologise apologize sorry excuse | complain complaint grumble
thank grateful gratitude | greet welcome | invite invitation | celebrate feast party anniversary festivity | anniversary jubilee
propose proposal engagement | bride groom couple newlywed | divorce breakup | pregnant expecting due birth | twin sibling | adopt adoption foster
orphan foster | guardian custody look | babysit babysitter nanny minder childcare | kindergarten nursery preschool | pupil schoolchild student
headmaster principal head | diploma degree certificate qualification | certificate certification licence badge | rank belt grade level title
championship tournament contest competition cup | prize award medal trophy reward perk | reward perk bonus prize | race run marathon relay sprint
finish time result | opponent rival | draw tie | referee umpire | coach train practise practice
practise practice rehearse rehearsal train drill prepare | rehearse prepare choir ensemble | choir ensemble vocal singer sing voice
orchestra ensemble quartet symphony | voice tenor soprano alto bass | composer compose piece | piece work composition | audience public spectator
stage scene theatre | theatre drama play stage production amateur | role part character function responsibility | actor actress cast
director producer | plot story storyline | manuscript novel draft book chapter | chapter section | publish print issue | crossword puzzle riddle
artwork picture painting art sculpture | artist painter illustrator | illustration drawing picture | ceramics pottery clay glaze bowl kiln
sew sewing stitch quilt patch | knit knitting wool | blanket quilt duvet cover | carve carving | craft handicraft
camera lens rangefinder photographer | defect dead fault flaw broken | flaw hole mistake gap defect | telescope astronomy star planet
planet saturn jupiter mars ring | aurora northern lights | bird osprey eagle hawk heron owl | spot see sight notice | fish angle angling
hunt hunting | forest wood woods trees | gather pick collect forage | mushroom fungus fungi | poison poisonous toxic death deadly
sick ill poison nausea vomit | nausea sick vomit | fever temperature flu | cold flu cough | infection virus bacteria | swell swollen swelling
bleed bleeding blood | fracture break broken bone | bone skeleton skull | muscle ligament tendon strain | limp leg hip lame | joint hip knee shoulder
replace replacement new substitute swap stand | recover recovery rehab rehabilitation heal convalesce | heal cure recover | diagnose diagnosis finding
symptom sign | deficiency lack low shortage missing | lack miss missing absent without | vitamin iron mineral | anaemia iron
eyesight vision eye sight | spectacles glasses frame frames | hearing ear deaf | deaf hearing | blind sight
lisp stammer stutter pronunciation speech | pronunciation accent speech | orthodontist braces dentist tooth | tooth crown filling cavity molar
sleep night nap insomnia rest | mask device cpap | tired fatigue | stress burnout | depression mood | psychologist therapist counsellor
physician doctor gp dr | nurse carer caregiver | carer caretaker nurse attendant | donor donate blood | ambulance paramedic emergency
accident crash injure | rescue save | scare fright frighten shock | danger hazard | companion friend partner mate | stranger unknown
roommate flatmate | household home family | landlord owner rent | owner own belong possess | belongings possessions things stuff property
estate property land farm | farm land agriculture farmer | orchard fruit trees apple | meadow field pasture | crop harvest yield vegetable
harvest crop | sapling tree young plant | hedge fence | fence boundary border | boundary fence border wall | timber wood larch oak pine
roof attic tile tiles loft | attic loft roof | cellar basement | ceiling roof | wall partition | chimney fireplace stove
fireplace stove hearth chimney | heating heat radiator pump boiler | insulate insulation | window pane glass glazing | door entrance gate
gate door entrance | stair staircase stairwell stairs step | climb stairs ascend go | corridor hallway hall | lounge living sitting
study office workroom den | cupboard cabinet closet wardrobe | cabinet cupboard fronts | drawer chest | shelf rack | settee sofa couch
armchair chair | mattress bed | lamp light bulb shade | light lamp lighting | vacuum hoover | wash washer laundry washing machine
washer washing machine | dryer tumble | dishwasher dishes | pan pot | knife blade | cutlery fork spoon knife | detector alarm sensor
alarm detector siren | beep chirp sound | noise sound loud bark | burglar burglary break thief | rob robbery steal
fraud fraudster scam scammer defraud cheat con | defraud scam cheat | prevent stop avoid hinder | forbid forbidden ban prohibit disallow allowed
allow permit let may allowed | oblige obligation must duty required | duty obligation responsibility charge
rule guideline regulation convention style | convention rule standard style | condition requirement term prerequisite precondition provided
precondition requirement before | remedy fix solution solve cure | solve solution resolve fix | workaround trick hack | odd strange unusual weird
unusual odd rare strange | rare unusual uncommon scarce | typical usual common | expect expected anticipate estimate | predict forecast
compare comparison versus against | differ difference | reveal show disclose find discover turn | turn happen | happen occur occurrence
mishap accident misfortune incident | incident accident outage event | event happening occasion | measure step action rule
adopt take agree introduce | drop abandon give dropped | abandon leave give drop | vulnerability weakness hole security
auditor inspector tester examiner | inspector examiner auditor surveyor | adjuster assessor loss surveyor | assessor adjuster appraiser
damage harm destroy wreck scratch | destroy ruin wreck damage chew spoil | spoil ruin bad rot turn | ruin destroy spoil wreck | scratch scrape dent
rust corrode | rotten rot decay | wet damp moist | storm wind gale hurricane | snow snowed ice frost | flood rain water
lightning thunder thunderstorm storm | cloud cloudy overcast | sunny sun sunshine | rain rainy wet shower | temperature degrees celsius warm cold
degree temperature | electricity power current solar kilowatt energy | energy power electricity | module panel panels unit | panel module
meter gauge | tariff rate plan price | mobile phone cell smartphone | smartphone phone mobile | roaming abroad | abroad foreign overseas
foreign abroad alien | tongue language | consulate embassy | application apply request | apply application | refuse turn deny reject | valid validity
renew renewal extend | expire expiry run out | slot appointment | luggage suitcase bag baggage carousel | courier messenger delivery
detour diversion | carousel baggage | sail sailing boat ferry | vessel boat ship yacht | boat ship vessel yacht | port harbour harbor dock
harbour port marina | ferry boat ship crossing | camper campervan motorhome caravan | tent camp camping | camp camping holiday | cabin hut lodge
hut shelter cabin refuge | shelter hut refuge | bunk bed berth | berth bunk | pension guesthouse inn | guesthouse pension inn | host landlord
guest visitor stay | suite room | terrace balcony patio | view outlook panorama | souvenir memento keepsake | memento souvenir keepsake
market stall bazaar | stall stand booth | customs border declare | cash money notes coins | note banknote bill | exchange swap | guide leader lead
expedition tour hike | hike walk trek tour | ridge mountain crest | summit peak top | canyon gorge valley | cave cavern | island isle | desert sand
river stream | shore bank | stretch route section leg | leg stretch section part | rail train railway track | pass ticket card | road street pass way
motorway highway freeway | bridge viaduct crossing | miniature model small | tunnel underpass | traffic jam | vehicle camper car van
automobile car estate | bonnet hood | mileage kilometre kilometres odometer clock | kilometre mile km | fuel petrol diesel | driver drive chauffeur
niece nephew | grandson granddaughter grandchild | godson godchild goddaughter | cousin relative | inlaw law | mum mother mom
gran grandmother grandma granny | grandpa grandfather | daughter girl | son boy | girl daughter | boy son | sister sibling
partner spouse husband wife | child kids children kid | adolescent teenager teen | elderly old senior | pensioner retired senior
colleague coworker teammate | superior boss manager head report | report boss line | employer firm company job | industry sector mill factory
factory plant mill | career life years work | farewell leaving goodbye parting | gift present | hobby leisure | pastime hobby
pool swim swimming lengths | jog run running | track song beat | pace tempo speed cadence | gym fitness climbing | belay rope climb
martial judo karate | fencing sword | kayak canoe paddle | canoe kayak boat | acrobat circus | dance ballet | ballet dance | cyclist cycling bike
skate skating | toy plaything kite | doll toy | game play | restriction limit handicap limitation | handicap restriction | winner champion win won
cooperative coop | rescue save saved | cinema movie theatre film | projector cinema | broadcast radio show | podcast show audio episode | debut first
episode part | topic subject theme | subject topic theme | present talk speak | lecture talk | slide presentation | research study thesis
crow bird raven | doctorate doctoral phd | award prize | tutor lessons tutoring | lesson tutoring class | bored boring | recommend suggest should
attend go | enrol enroll register join sign | join enter enrol member | member join belong | association club society | contribute bring give
supper dinner meal | potluck supper shared | celebration party | dumpling pasta | secret hidden inside | starter dough | dough bread sourdough
culture starter | spicy hot chilli | bottle wine | cheese dairy | vineyard wine | thirsty drink | hungry food | feed eat food | eat feed food
allergic nut peanut cashew | reaction allergy | pen injector | always permanently | nowadays now today | formerly previously before used
former old previous | originally first initially | currently now present | eventually end finally | gradually slowly | regularly every | rarely seldom
immediately instantly once | temporary interim | permanent lasting | software code program app | source code repository | repository repo git
organise organize structure | organisation company | parser parse | downside disadvantage drawback problem | drawback disadvantage downside
advantage benefit plus | benefit advantage | heap memory ram | ram memory | growing grow increase leak | leak grow | reach reachable listen
gateway proxy | preproduction staging | request call | quota limit | free gratis | pay paying paid | plan tier tariff package | tier plan level
client customer | user seat person people | seat user place | prospect customer lead | demo demonstration trial | trial pilot test | pilot trial test
live launch production | clinic hospital practice | slip delay slide postpone | audit review inspection | hosting cloud server | driver cause
retention keep storage | emergency call | responsible charge duty | rename name | trademark brand | brand trademark | graph chart plot diagram
chart graph diagram | licence license terms | graphics gpu card | hardware machine device equipment | device machine equipment gadget
cooling cool heat | label annotation annotated tag | annotate label | mistake error wrong | accessibility blind screenreader | keyboard key type
illustrator illustration drawing | correction revision | delivery deliver | label sticker | print printer | walkout strike | strike walkout union
workshop seminar training | instead replacement rather | effect result | reminder remind | churn cancellation | takeover offer bid | independent own
verdict decision | vote decide | storage disk store | maintenance upkeep care | compression compress | bandwidth traffic data
duplicate twice double copy | circumstances when situation | correct fix repair | version release | retake repeat again | section part
password login credential vault | recovery restore emergency | program tool software | sheet page kit | vet animal | chew bite destroy | bite chew
tail wag | leash lead | stable barn | kennel dog | aquarium fish seal | zoo animal | swan goose duck | swarm bee hive
`
  .trim()
  .split(/ \| |\n/);
