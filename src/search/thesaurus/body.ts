// Body, health and medicine.
export const BODY: string = `
# body parts
body > head neck shoulder arm elbow wrist hand finger thumb chest back spine hip leg knee ankle foot toe stomach belly skin heart lung liver kidney brain eye ear nose mouth throat tooth
limb arm leg | joint > knee hip shoulder ankle elbow wrist knuckle finger | organ > heart lung liver kidney stomach brain bowel bladder skin spleen pancreas
head skull scalp forehead brow | face cheek chin jaw | eye eyelid pupil retina sight vision | ear eardrum hearing | nose nostril sinus | mouth lip tongue gum palate | tooth teeth molar incisor wisdom dental
throat neck tonsils larynx voice | chest breast rib lung | back spine vertebra disc lumbar | belly stomach abdomen tummy gut bowel intestine | arm forearm elbow | hand palm fist finger thumb | leg thigh calf shin
foot heel toe sole ankle | skin complexion rash | bone skeleton rib spine | muscle tendon ligament sinew | blood vein artery vessel circulation | nerve nervous brain | heart cardiac pulse
hair beard moustache eyebrow | nail fingernail toenail | breath breathe breathing respiration lungs | waist hip pelvis | shoulder collarbone blade
# illness
illness disease condition complaint ailment disorder > flu cold cough fever asthma diabetes cancer migraine pneumonia bronchitis measles chickenpox arthritis eczema anaemia epilepsy dementia covid tonsillitis infection allergy shingles hepatitis tuberculosis
sick ill unwell poorly ailing | flu influenza cold virus fever | cough cold bronchitis chesty | fever temperature hot shivering | infection infected virus bacteria germ inflammation inflamed | inflammation inflamed swelling swollen
cancer tumour tumor growth lump chemotherapy | diabetes insulin sugar blood | asthma inhaler breath wheeze | stroke heart attack cardiac | arthritis rheumatism joints | dementia alzheimer memory forgetful
migraine headache head | nausea sick vomit queasy vomiting throw | diarrhoea stomach bug poisoning | constipation bowel | rash itch eczema hives spots skin | dizzy dizziness vertigo faint giddy
chronic persistent lasting | acute sudden severe | contagious infectious catching | quarantine isolate isolation | epidemic pandemic outbreak | symptom sign indication complaint > fever cough pain rash nausea dizziness headache fatigue swelling
deficiency lack shortage > iron vitamin zinc calcium magnesium b12 folate | anaemia iron | pressure hypertension blood | cholesterol lipid fat | thyroid gland hormone
# injury
injury wound hurt trauma > fracture sprain strain cut bruise burn tear concussion dislocation break graze scratch bite
fracture break broken crack bone | sprain strain twist pull pulled | cut gash slash slice laceration | bruise bump black blue | burn scald blister | bleed blood bleeding | scar mark | limp hobble lame walk | swell swollen swelling puffy
fall fell trip stumble slip tumble | bite sting | knock blow bump hit | torn tear rupture ruptured ligament tendon meniscus cruciate | dislocated dislocate shoulder | concussion head unconscious knocked
crutches cast plaster splint sling brace bandage | stitches sutures sewn | ache pain sore hurt tender discomfort agony | stiff rigid stiffness | numb tingling numbness | wheelchair walker walking stick cane
# care
doctor physician gp medic practitioner consultant | specialist > cardiologist dermatologist neurologist surgeon orthopedist urologist gynaecologist oncologist psychiatrist ophthalmologist paediatrician radiologist allergist ent rheumatologist
hospital clinic ward infirmary surgery practice centre | nurse sister carer midwife | patient case | appointment consultation visit slot checkup | examine examination check checkup screening | diagnosis diagnose finding verdict result
treat treatment therapy cure remedy | heal recover mend healing recovery | operate operation surgery surgical procedure surgeon | anaesthetic anaesthesia narcosis numb | ambulance paramedic emergency casualty | referral refer transfer
scan xray ultrasound mri ct image radiograph | blood test sample lab result | vaccinate vaccination jab shot injection immunisation booster vaccine | prescribe prescription | pharmacy chemist pharmacist drugstore
physiotherapist physio physiotherapy exercises rehab | massage masseur osteopath chiropractor | dentist dental orthodontist hygienist | optician optometrist glasses eye | therapist psychologist counsellor psychotherapist
convalesce recuperate rest recover | discharge release home | donor donate transplant | intensive icu | insurance health cover sick | relapse setback | bedridden bed rest | hospice palliative
# medicine
medicine medication drug remedy > aspirin paracetamol ibuprofen antibiotic penicillin insulin antihistamine statin melatonin cortisone morphine inhaler ointment drops syrup painkiller supplement
pill tablet capsule | dose dosage amount milligram mg daily | painkiller analgesic aspirin ibuprofen paracetamol | antibiotic penicillin amoxicillin | ointment cream lotion salve gel | drops syrup liquid | plaster bandage dressing
supplement vitamin mineral | side effect reaction | allergy allergic reaction intolerance hypersensitive | anaphylactic epipen adrenaline | overdose | sedative sleeping | insulin injection pump | vaccine | herbal homeopathic
allergen > cashew peanut almond walnut milk egg wheat gluten shellfish pollen dust fish soy sesame lactose nickel penicillin latex bee wasp mite hay
intolerant intolerance > lactose gluten fructose histamine milk
# teeth and eyes and ears
tooth teeth dental dentist > crown filling cavity root canal implant molar wisdom braces denture | cavity hole decay filling | braces brace retainer orthodontist aligner | glasses spectacles lenses frames eyewear | contact lens
shortsighted nearsighted myopia | blind blindness sight | deaf hearing aid | eyesight vision sight eyes | dioptre dioptres prescription strength | cataract glaucoma | earache ear | hearing aid
# sleep and state
sleep slept asleep nap doze slumber rest | insomnia sleepless awake | wake awake waken up | snore snoring apnea apnoea cpap mask | tired exhausted weary fatigued sleepy drained worn | dream nightmare | energetic lively fit awake
stress stressed burnout pressure overload | depression depressed low | anxiety anxious panic | relax unwind calm rest | addiction addicted dependent | smoke smoking cigarette tobacco nicotine | alcohol drink drunk sober
# fitness and diet
fitness fit shape exercise workout training gym sport | diet slim slimming lose weight | weight weigh kilos pounds heavy | overweight obese fat | thin slim skinny lean | muscle strength strong | calorie calories energy | yoga pilates stretching
healthy health wellness wellbeing | sauna spa massage | sweat perspire | pulse rate heartbeat | steps pedometer walking | nutrition nutritionist dietician food
# pregnancy and age
pregnant pregnancy expecting due baby | birth deliver born delivery labour | midwife obstetrician | miscarriage lost | newborn infant baby | breastfeed nurse | nappy diaper | puberty teenager adolescent | menopause | elderly old aged senior
contraception pill | twins | fertility ivf | caesarean section | toddler infant | die dead death deceased pass away | disabled disability handicap | care home nursing
# hygiene
wash shower bathe | brush toothbrush teeth | shampoo hair | shave razor beard | perfume scent fragrance smell | makeup cosmetics lipstick | haircut hairdresser barber trim style | hair dye colour | towel | soap | cream | manicure nails
hairdresser barber stylist salon | tattoo ink tattooed | piercing
`;
